// Package bus delivers the events of a topic to their consumer and defines what publishing one means. It knows no Kafka:
// package kafka beside it and the Lambda trigger bring the records.
//
// What the engine guarantees, to every consumer alike:
//
//   - Nothing is lost. An event counts as handled once its handler has returned nil or its dead letter is written;
//     [Partition.Handled] never passes one that does not.
//   - Order per key. The events of one key in one partition are handled one after the other, in offset order, and wait
//     while the first is retried. Different keys run concurrently, up to a bound.
//   - An outage stalls the consumer and fills no dead letters. Only an event that is itself at fault is rejected: see
//     [Engine].
//   - Bounded memory: see [Partition.Full].
//
// Effects happen at least once: a crash between a handler's return and the commit repeats the event, so handlers detect
// repeats by the event's id. A crash or rebalance repeats at most [Options.MaxBuffered] events of a partition.
package bus
