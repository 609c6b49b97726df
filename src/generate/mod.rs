//! Files generated from the operations. The server does not need them at run time.

pub mod curl_scripts;
pub mod kong;
pub mod openapi;
mod openapi_3_0;
