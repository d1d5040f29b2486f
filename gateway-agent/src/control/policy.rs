//! Access by source address: which clients a listener or a route serves.
//!
//! Pure: a compiled set of prefixes and one question. The longest prefix that covers the source
//! decides. What the source *is* (the socket's peer, or the address a PROXY header announced) is
//! the data path's business.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

/// The compiled `allow` and `deny` lists of one listener or one route.
///
/// Cheap to clone. Without any rule everybody is allowed; with any `allow`, a source that no
/// prefix covers is denied; with `deny` alone, it is allowed.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Absent for the many routes that have no rule, which then cost one word.
    rules: Option<Arc<Rules>>,
}

#[derive(Debug)]
struct Rules {
    allowed: JointPrefixMap<IpNet, bool>,
    /// The answer for a source that no prefix covers.
    otherwise: bool,
}

impl Access {
    /// Compiles the two lists.
    ///
    /// A prefix given in both is denied; configuration refuses that before it comes here.
    /// IPv4-mapped IPv6 prefixes become IPv4 ones, since sources are unmapped before the look-up.
    #[must_use]
    pub fn new(allow: &[IpNet], deny: &[IpNet]) -> Self {
        if allow.is_empty() && deny.is_empty() {
            return Self::default();
        }
        let mut allowed = JointPrefixMap::new();
        for (prefixes, verdict) in [(allow, true), (deny, false)] {
            for prefix in prefixes {
                allowed.insert(unmapped(*prefix).trunc(), verdict);
            }
        }
        let otherwise = allow.is_empty();
        Self {
            rules: Some(Arc::new(Rules { allowed, otherwise })),
        }
    }

    /// Answers whether `source` is served, and by which rule.
    #[must_use]
    pub fn verdict(&self, source: IpAddr) -> Verdict {
        let Some(rules) = &self.rules else {
            return Verdict {
                allowed: true,
                rule: None,
            };
        };
        match rules.allowed.get_lpm(&IpNet::from(source.to_canonical())) {
            Some((prefix, &allowed)) => Verdict {
                allowed,
                rule: Some(prefix),
            },
            None => Verdict {
                allowed: rules.otherwise,
                rule: None,
            },
        }
    }

    /// Whether there is no rule at all, so that every verdict is "allowed".
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.rules.is_none()
    }
}

/// The answer for one source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the source is served.
    pub allowed: bool,
    /// The prefix that decided; `None` when no prefix covers the source and the lists' own rule
    /// for that case did.
    pub rule: Option<IpNet>,
}

/// Turns an IPv4-mapped IPv6 prefix (`::ffff:0:0/96` and longer) into the IPv4 prefix it means.
pub(crate) fn unmapped(prefix: IpNet) -> IpNet {
    let IpNet::V6(v6) = prefix else {
        return prefix;
    };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(v4), Some(length)) => ipnet::Ipv4Net::new(v4, length).map_or(prefix, IpNet::V4),
        _ => prefix,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nets(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|net| net.parse().unwrap()).collect()
    }

    #[test]
    fn without_rules_everybody_is_allowed() {
        let verdict = Access::default().verdict("203.0.113.9".parse().unwrap());
        assert_eq!(
            verdict,
            Verdict {
                allowed: true,
                rule: None
            }
        );
    }

    #[test]
    fn an_allow_list_denies_whoever_it_does_not_cover_in_both_families() {
        let access = Access::new(&nets(&["10.0.0.0/8"]), &[]);
        for source in ["11.0.0.1", "fd00::1"] {
            assert!(!access.verdict(source.parse().unwrap()).allowed, "{source}");
        }
    }

    #[test]
    fn a_deny_list_alone_allows_the_rest() {
        let access = Access::new(&[], &nets(&["10.6.6.0/24"]));
        assert!(!access.verdict("10.6.6.1".parse().unwrap()).allowed);
        assert!(access.verdict("10.6.7.1".parse().unwrap()).allowed);
    }

    #[test]
    fn a_mapped_source_meets_the_ipv4_rule() {
        let access = Access::new(&nets(&["10.0.0.0/8"]), &nets(&["::ffff:10.6.6.0/120"]));
        let verdict = access.verdict("::ffff:10.6.6.1".parse().unwrap());
        assert_eq!(
            verdict,
            Verdict {
                allowed: false,
                rule: Some(nets(&["10.6.6.0/24"])[0])
            }
        );
        assert!(access.verdict("::ffff:10.1.1.1".parse().unwrap()).allowed);
    }

    /// Prefixes over a small corner of the address space, so that they overlap often.
    fn prefix() -> impl Strategy<Value = IpNet> {
        (any::<bool>(), any::<u8>(), 0..=8_u8).prop_map(|(v4, bits, length)| {
            let text = if v4 {
                format!("10.0.0.{bits}/{}", 24 + length)
            } else {
                format!("fd00::{bits:x}/{}", 120 + length)
            };
            text.parse::<IpNet>().unwrap().trunc()
        })
    }

    fn naive(allow: &[IpNet], deny: &[IpNet], source: IpAddr) -> Verdict {
        let covering = |list: &[IpNet], allowed| {
            list.iter()
                .filter(|net| net.contains(&source))
                .map(|net| Verdict {
                    allowed,
                    rule: Some(*net),
                })
                .collect::<Vec<_>>()
        };
        let mut all = [covering(allow, true), covering(deny, false)].concat();
        all.sort_by_key(|verdict| verdict.rule.map(|rule| rule.prefix_len()));
        all.pop().unwrap_or(Verdict {
            allowed: allow.is_empty(),
            rule: None,
        })
    }

    proptest! {
        #[test]
        fn agrees_with_a_scan_of_all_prefixes(
            allow in prop::collection::vec(prefix(), 0..6),
            deny in prop::collection::vec(prefix(), 0..6),
            v4 in any::<bool>(),
            last in any::<u8>(),
        ) {
            let source: IpAddr = if v4 {
                [10, 0, 0, last].into()
            } else {
                [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)].into()
            };
            // A prefix in both lists: deny was inserted last and wins, as the sort keeps order.
            prop_assert_eq!(
                Access::new(&allow, &deny).verdict(source),
                naive(&allow, &deny, source)
            );
        }
    }
}
