//! This module finds circles in a graph of names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The names that each name depends on.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// Finds the shortest way from `from` back to itself; `from` begins and ends it.
fn circle(graph: &Graph, from: &str) -> Option<Vec<String>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(name) = next.pop_front() {
        for to in graph.get(name).into_iter().flatten() {
            if to == from {
                let mut way = vec![from, name];
                while let Some(&last) = way.last().filter(|last| **last != from) {
                    way.extend(before.get(last));
                }
                way.reverse();
                let way = if name == from { vec![from, from] } else { way };
                return Some(way.into_iter().map(str::to_owned).collect());
            }
            if !before.contains_key(to.as_str()) {
                before.insert(to, name);
                next.push_back(to);
            }
        }
    }
    None
}

/// Finds each set of names that all depend on each other, with the shortest circle in it.
pub(crate) fn circles(graph: &Graph) -> Vec<(BTreeSet<String>, Vec<String>)> {
    let mut found: Vec<(BTreeSet<String>, Vec<String>)> = Vec::new();
    for name in graph.keys() {
        if found.iter().any(|(names, _)| names.contains(name)) {
            continue;
        }
        let back = |other: &&String| reached(graph, other).contains(name);
        let all: BTreeSet<String> = reached(graph, name).iter().filter(back).cloned().collect();
        let ways = all.iter().filter_map(|name| circle(graph, name));
        if let Some(shortest) = ways.min_by_key(Vec::len) {
            found.push((all, shortest));
        }
    }
    found
}

/// Finds all names that a name depends on, directly or not.
fn reached(graph: &Graph, from: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut next = vec![from];
    while let Some(name) = next.pop() {
        for to in graph.get(name).into_iter().flatten() {
            if all.insert(to.clone()) {
                next.push(to);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::{Graph, circles};

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        graph
    }

    #[test]
    fn a_graph_without_circles_has_none() {
        assert!(circles(&graph(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])).is_empty());
    }

    #[test]
    fn circles_are_found() {
        let found = circles(&graph(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"), ("d", "e")]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0.iter().cloned().collect::<Vec<_>>(), ["b", "c", "d"]);
        assert_eq!(found[0].1, ["b", "c", "d", "b"]);
        let two = circles(&graph(&[("a", "b"), ("b", "a"), ("b", "c"), ("c", "d"), ("d", "c")]));
        let ways: Vec<_> = two.into_iter().map(|(_, way)| way).collect();
        assert_eq!(ways, [["a", "b", "a"], ["c", "d", "c"]]);
    }

    #[test]
    fn the_circle_shown_is_the_shortest() {
        let edges = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("d", "c"), ("b", "b")];
        let found = circles(&graph(&edges));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0.len(), 4);
        assert_eq!(found[0].1, ["b", "b"]);
    }
}
