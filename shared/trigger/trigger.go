// Package trigger is the Lambda side of a topic: the payload that AWS's Kafka event source mapping sends to a function
// ([Decode]), the [Response] that it expects, and between them the delivery engine of package bus ([Handler]), the same as a
// worker's.
//
// It guarantees what package bus guarantees, over any number of invocations: a record of a payload is handled, or it is given
// back and retried, with all records after it in its partition. A payload that cannot be read fails the invocation. When
// [Handler.Invoke] has returned nothing runs on, because Lambda freezes the process then.
//
// It knows neither Lambda's runtime (Invoke is its Handler interface) nor Kafka's protocol.
package trigger
