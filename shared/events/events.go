// Package events defines the events: payload types and envelope, the factory that makes them, validation, the codec and the
// catalogue of all types.
//
// It is strict when writing and tolerant when reading. [New] validates an event in full. [Decode] rejects only records that
// cannot be understood, because other programs write to the same topics, among them the existing TypeScript app: events
// with ids of other forms, with empty fields, without correlation.
//
// The wire format is frozen: the samples in testdata were released and must always decode.
//
// Error texts hold no payload: they name field, kind and position. So every error may be logged; [LogText] bounds it.
package events
