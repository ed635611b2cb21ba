package settings

// Kafka says how to reach the brokers.
type Kafka struct {
	Brokers []string // host:port of some of the brokers, which name the others; KAFKA_BROKERS
}
