// Package kafka carries events over Kafka: [Publisher] writes them, [Member] brings those of a topic to their consumer,
// [DeadLetters] keeps the rejected ones, [MakeTopics] makes the topics.
//
// It speaks to Apache Kafka 2.7 and later. Records are written uncompressed, because the TypeScript app's kafkajs cannot
// read the client's default, snappy; keys go to the partitions that Java's and kafkajs's default partitioners choose.
package kafka
