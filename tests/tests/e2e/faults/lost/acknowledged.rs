//! A power cut before any call of a server, and after any answer: what was acknowledged is there.

use std::fs;

use crate::faults::injector::{Fault, kinds};
use crate::faults::power::{Forgotten, cut};
use crate::faults::requests::{Lone, Model, STEPS, ask, held};
use crate::faults::sweep::{Job, Tried, sweep};

/// Whether calls or answers are struck.
#[derive(Clone, Copy, Debug)]
enum Moment {
    BeforeCall,
    AfterAnswer,
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let mut jobs = Vec::new();
    for moment in [Moment::BeforeCall, Moment::AfterAnswer] {
        for forgotten in Forgotten::EVERY {
            jobs.push(Job {
                name: format!("requests, {moment:?}, forgetting {forgotten:?}"),
                trial: Box::new(move || Box::new(move |call| try_requests(moment, forgotten, call))),
            });
        }
    }
    sweep("acknowledged", 6, jobs);
}

fn try_requests(moment: Moment, forgotten: Forgotten, call: u64) -> Tried {
    let mut lone = Lone::start();
    let Lone { server, injector, record, .. } = &mut lone;
    let kinds = match moment {
        Moment::BeforeCall => kinds::CHANGES,
        Moment::AfterAnswer => kinds::ANSWER,
    };
    injector.arm(Fault::Kill, kinds, call..=call);
    let (mut acknowledged, mut asked) = (Model::new(), Model::new());
    let mut answered = 0;
    for step in STEPS {
        (step.effect)(&mut asked);
        let Some(response) = ask(server, step) else { break };
        assert!(matches!(response.status, 201 | 204), "{} {}: {response:?}", step.method, step.path);
        acknowledged.clone_from(&asked);
        answered += 1;
    }
    let tried = Tried { struck: 0 < injector.struck(), calls: injector.count() };
    injector.disarm();
    match tried.struck {
        true => assert_eq!(server.process().wait(), 137, "exit code of a server that was to be killed"),
        false => server.kill(),
    }
    cut(record, &server.folder, forgotten);
    server.start();
    let found = held(server);
    assert!(
        found == acknowledged || found == asked,
        "{answered} changes were acknowledged; the box holds {found:?} and not {acknowledged:?}, nor {asked:?}"
    );
    let left = fs::read_dir(server.folder.join(".filesync/staging")).expect("read a directory").count();
    assert_eq!(left, 0, "things left over in staging");
    tried
}
