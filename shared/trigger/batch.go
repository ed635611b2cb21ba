package trigger

import "github.com/sipeat/sipeat/shared/bus"

// What a payload calls its source.
const (
	SourceMSK         = "aws:kafka"
	SourceSelfManaged = "SelfManagedKafka"
	// AWS's own examples of a self-managed cluster's payload show this one.
	SourceSelfManagedToo = "aws:SelfManagedKafka"
)

// Batch is what one invocation brings: records of one or several partitions, those of each in the order of their offsets.
//
// Of a record's key and value, nil is none (absent or null in the payload; a nil value is a tombstone), and empty is empty.
type Batch struct {
	Source           string // one of those above
	SourceARN        string // the cluster's; "" = self-managed
	BootstrapServers string // host:port, separated by commas
	Records          []bus.Record
}
