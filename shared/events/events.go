// Package events says what an event is: the payload types and their envelope, the factory that makes events, the rules
// that they are held to, the codec, and the catalogue of all types.
//
// It is strict when writing and tolerant when reading. [New] checks an event in full. [Decode] refuses only what cannot
// be understood, because other programs write to the same topics, the existing TypeScript app among them: events without
// ids of our form, with empty fields, without correlation.
//
// The wire form is frozen. What stands under testdata was released, and must decode for ever.
//
// The package knows nothing of Kafka, of HTTP or of databases.
package events
