//! Consul's formats: service definitions and config entries -> the types of `crate::mesh`.

mod weak;
