//! What is made from the operations and needed by nothing at run time.

pub mod curl_scripts;
pub mod kong;
pub mod openapi;
mod openapi_3_0;
