// Package trigger is the Lambda side of a topic: what AWS's Kafka event source mapping sends to a function ([Decode]), what
// it wants to hear ([Response]), and between them the delivery engine of package bus ([Handler]), the same as a worker's.
//
// It promises what package bus promises, over any number of invocations: a record of a payload is handled, or it is given
// back and comes again, and so does what stands behind it in its partition. What cannot be read makes the invocation fail.
// When [Handler.Invoke] has returned nothing runs on, for Lambda freezes the process then.
//
// It knows neither Lambda's runtime (Invoke is what its Handler interface asks for) nor Kafka's protocol.
package trigger
