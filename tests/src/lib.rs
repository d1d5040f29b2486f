//! The rig: namespaces, peers and the agent under test.
