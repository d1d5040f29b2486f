use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};

use super::*;
use crate::mesh::entries::resolver::{Redirect, Subset};
use crate::mesh::entries::splitter::{ServiceSplitter, Split};
use crate::mesh::entries::{Entry, ProxyDefaults, ServiceResolver};

fn place(line: usize) -> Place {
    Place {
        file: "mesh.hcl".into(),
        line: line.try_into().unwrap(),
        column: 1,
    }
}

fn service(number: usize) -> ServiceName {
    ServiceName::plain(&format!("s{number}"))
}

fn redirect(to: &str, subset: &str, datacenter: &str) -> Redirect {
    Redirect {
        service: Name::new(to),
        subset: subset.to_owned(),
        namespace: Name::default(),
        partition: Name::default(),
        datacenter: Name::new(datacenter),
        peer: Name::default(),
        sameness_group: String::new(),
        at: place(1),
    }
}

fn resolver(of: &str, redirect: Redirect) -> ServiceResolver {
    ServiceResolver {
        redirect: Some(redirect),
        ..ServiceResolver::new(ServiceName::plain(of), place(1))
    }
}

fn split(to: usize) -> Split {
    Split {
        weight: 1,
        service: service(to).name,
        subset: String::new(),
        namespace: Name::default(),
        partition: Name::default(),
        request_headers: Default::default(),
        response_headers: Default::default(),
        at: place(to),
    }
}

fn messages(entries: &Entries) -> Vec<String> {
    let problems = entries.check(&BTreeSet::new()).into_iter();
    problems.map(|problem| problem.message).collect()
}

fn of_resolvers(resolvers: impl IntoIterator<Item = ServiceResolver>) -> Entries {
    let mut entries = Entries::default();
    for resolver in resolvers {
        entries
            .insert(Entry::ServiceResolver(Arc::new(resolver)))
            .unwrap();
    }
    entries
}

#[test]
fn a_service_that_redirects_to_itself_is_no_circle() {
    let with_subset = {
        let mut resolver = resolver("web", redirect("WEB", "v2", "dc2"));
        let subset = Subset {
            filter: String::new(),
            only_passing: false,
            at: place(1),
        };
        resolver.default_subset = "v1".to_owned();
        resolver.subsets = ["v1", "v2"]
            .map(|name| (name.to_owned(), subset.clone()))
            .into();
        resolver
    };
    for one in [
        resolver("web", redirect("", "", "dc1")),
        resolver("web", redirect("web", "", "dc1")),
        resolver("web", redirect("web", "", "")),
        with_subset,
    ] {
        assert_eq!(messages(&of_resolvers([one])), [""; 0]);
    }
}

#[test]
fn a_circle_over_datacenters_is_one_and_told_once() {
    let entries = of_resolvers([
        resolver("into", redirect("b", "", "")),
        resolver("b", redirect("A", "", "dc2")),
        resolver("a", redirect("b", "", "dc1")),
        resolver("further", redirect("a", "", "dc3")),
        resolver("x", redirect("y", "", "")),
        resolver("y", redirect("x", "", "")),
        resolver("z", redirect("x", "", "dc2")),
    ]);
    assert_eq!(
        messages(&entries),
        [
            "redirects go in a circle: a -> b -> a",
            "redirects go in a circle: x -> y -> x"
        ]
    );
}

#[test]
fn a_peer_ends_a_redirect_and_must_be_known() {
    let mut north = redirect("web", "", "");
    north.peer = Name::new("north");
    let entries = of_resolvers([resolver("web", north)]);
    let told = "a redirect of web names the peer `north`, which there is no peering with";
    assert_eq!(messages(&entries), [told]);
    assert_eq!(entries.check(&BTreeSet::from([Name::new("North")])), []);
}

#[test]
fn a_second_entry_of_one_name_is_refused_whatever_its_case() {
    let mut entries = of_resolvers([resolver("web", redirect("x", "", ""))]);
    let at = |line, name| Arc::new(ServiceResolver::new(ServiceName::plain(name), place(line)));
    let second = entries.insert(Entry::ServiceResolver(at(7, "Web")));
    assert_eq!(second, Err(place(1)));
    assert_eq!(entries.insert(Entry::ServiceResolver(at(8, "api"))), Ok(()));
    let defaults = ProxyDefaults::new(Name::default_name(), place(9));
    assert_eq!(
        entries.insert(Entry::ProxyDefaults(Arc::new(defaults))),
        Ok(())
    );
}

#[test]
fn long_ways_without_a_circle_are_walked_once() {
    const LONG: usize = 20_000;
    let mut entries = of_resolvers((0..LONG).map(|number| {
        let to = service(number + 1).name;
        resolver(service(number).name.as_str(), redirect(to.as_str(), "", ""))
    }));
    for number in 0..LONG {
        let splitter = ServiceSplitter {
            service: service(number),
            splits: vec![split(number + 1)],
            meta: Default::default(),
            at: place(number),
        };
        entries
            .splitters
            .insert(service(number), Arc::new(splitter));
    }
    let mut problems = Vec::new();
    cycles::redirects(&entries, &mut problems);
    cycles::splits(&entries, &mut problems);
    assert_eq!(problems, []);
}

/// Whether what follows `start` comes back to it.
fn returns(start: usize, next: &[Vec<usize>]) -> bool {
    let (mut seen, mut todo) = (BTreeSet::new(), vec![start]);
    while let Some(at) = todo.pop() {
        for &to in &next[at] {
            if to == start {
                return true;
            }
            if seen.insert(to) {
                todo.push(to);
            }
        }
    }
    false
}

proptest! {
    #[test]
    fn circles_of_redirects_are_found_each_once(to in vec(any::<Option<u8>>(), 1..8)) {
        let count = to.len();
        let next: Vec<Vec<usize>> = to
            .iter()
            .enumerate()
            .map(|(from, to)| to.map(|to| usize::from(to) % count).filter(|to| *to != from))
            .map(|to| to.into_iter().collect())
            .collect();
        let entries = of_resolvers(next.iter().enumerate().flat_map(|(from, to)| {
            to.iter().map(move |to| {
                let to = service(*to).name;
                resolver(service(from).name.as_str(), redirect(to.as_str(), "", ""))
            })
        }));
        // Each service has one way on, so each circle is known by its least member.
        let circles = (0..count).filter(|&start| {
            let (mut at, mut least) = (start, true);
            while let Some(&to) = next[at].first() {
                if to == start {
                    return least;
                }
                least &= to > start;
                at = to;
                if !returns(start, &next) {
                    return false;
                }
            }
            false
        });
        prop_assert_eq!(messages(&entries).len(), circles.count());
    }

    #[test]
    fn circles_of_splits_are_found(to in vec(vec(any::<u8>(), 0..4), 1..8)) {
        let count = to.len();
        let mut entries = Entries::default();
        let mut next = Vec::new();
        for (from, to) in to.iter().enumerate() {
            let to: Vec<_> = to.iter().map(|to| usize::from(*to) % count).collect();
            let splitter = ServiceSplitter {
                service: service(from),
                splits: to.iter().copied().map(split).collect(),
                meta: Default::default(),
                at: place(from),
            };
            entries.splitters.insert(service(from), Arc::new(splitter));
            next.push(to.into_iter().filter(|to| *to != from).collect::<Vec<_>>());
        }
        let circle = (0..count).any(|start| returns(start, &next));
        let mut problems = Vec::new();
        cycles::splits(&entries, &mut problems);
        prop_assert_eq!(!problems.is_empty(), circle);
    }
}
