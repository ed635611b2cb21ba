// Package bus says how events travel: what it means to publish one, and how those of a topic are delivered to their
// consumer. There is no Kafka in it; package kafka beside it brings the records, and so does a Lambda's trigger.
//
// What it promises of delivery, to every consumer alike:
//
//   - Nothing is lost. An event counts as handled when its handler has returned nil or it stands in the dead letters, and
//     not before; [Partition.Handled] never passes one that is not.
//   - In order per key. The events of one key in one partition are handled one after the other, in offset order, and a
//     key waits while its first event is tried again. Different keys run at the same time, up to a bound.
//   - An outage stalls, it fills no dead letters. Only what is the event's own fault is rejected (see [Engine]).
//   - Memory is bounded by what is in hand: see [Partition.Full].
//
// Effects happen at least once: a crash between a handler's return and the commit repeats the event, so handlers know a
// repeat by the event's id.
package bus
