//! The agent, module by module in reading order.

/// Where the routes live and change: snapshot, route table, policy, clusters, reload, explain.
pub mod control;
