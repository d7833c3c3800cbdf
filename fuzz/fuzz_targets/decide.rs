//! Whole small worlds: certificates that vouch for one another, anchors, lists and a question.

#![no_main]

use avouch_fuzz::check;
use avouch_fuzz::world::World;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|world: World| {
    check(&world.question(), &world.view(), world.limits());
});
