//! Tests of the whole service, in one binary with a module per area.

mod actions;
mod architecture;
mod backup;
mod command_line;
mod contract;
mod curl_scripts;
mod demo;
mod deploy;
mod docs;
mod engines;
mod kong;
mod paths;
mod pins;
mod properties;
mod runs;
mod security;
mod support;
mod texts;
mod trust;
mod vectors;
mod vectors_http;
mod ws_status;
