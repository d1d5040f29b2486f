//! The agent, module by module in reading order.
