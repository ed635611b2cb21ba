package trigger

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/bus"
)

// Values of eventSource.
const (
	SourceMSK         = "aws:kafka"
	SourceSelfManaged = "SelfManagedKafka"
	// SourceSelfManagedOld is in AWS's own examples of a self-managed cluster's payload.
	SourceSelfManagedOld = "aws:SelfManagedKafka"
)

// Batch is the payload of one invocation: records of one or several partitions, in offset order within each.
//
// A record's nil key is absent or null in the payload, a nil value is a tombstone; empty ones are empty.
type Batch struct {
	Source           string // one of those above
	SourceARN        string // of the cluster; "" = self-managed
	BootstrapServers string // host:port, separated by commas
	Records          []bus.Record
}

// Decode reads the payload of a Kafka event source mapping. Nothing of the batch shares memory with payload.
//
// Members may be in any order; unknown ones are skipped. Topic and partition are the record's own, not its list's name. A
// header's bytes may be signed (as Java writes them) or not; a key of several headers is kept as often, in order.
//
// A record without topic, partition or offset, or with a fault in its base64, is an error of the whole batch. It must not become
// a dead letter, because not the event is at fault but what brought it, and without an offset the record cannot be named to AWS.
// The batch is retried, and the error says where to look, without any of the payload's values.
func Decode(b []byte) (Batch, error) {
	in, fault := reader{src: b}, ""
	batch, found := in.batch()
	if in.failed { // perhaps it is not written as AWS does: with white space, or escapes in base64
		compact := jsontext.Value(bytes.Clone(b))
		if compact.Format(jsontext.AllowInvalidUTF8(true)) != nil { // as encoding/json
			fault = "it is not valid JSON, has a member twice, or ends in the middle"
		}
		in = reader{src: compact}
		batch, found = in.batch()
	}
	switch {
	case fault != "":
	case in.failed:
		fault = fmt.Sprintf("at byte %d, without white space: a record has a topic, a partition and an offset, within Kafka's bounds, "+
			"key and value in base64, and headers of bytes from -128 to 255", in.failedAt)
	case !slices.Contains([]string{SourceMSK, SourceSelfManaged, SourceSelfManagedOld}, batch.Source):
		fault = "its eventSource is not aws:kafka or SelfManagedKafka: another trigger invokes this function"
	case !found:
		fault = "it has no records"
	default:
		return batch, nil
	}
	return Batch{}, fmt.Errorf("the payload cannot be read as a batch of Kafka records: %s; nothing of it was handled", fault)
}

// payload is a batch in JSON (https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html).
type payload struct {
	Source           string               `json:"eventSource"`
	SourceARN        string               `json:"eventSourceArn,omitzero"`
	BootstrapServers string               `json:"bootstrapServers"`
	Records          map[string][]written `json:"records"` // by partition
}

// written is a record as AWS writes it.
type written struct {
	Topic         string              `json:"topic"`
	Partition     int32               `json:"partition"`
	Offset        int64               `json:"offset"`
	Timestamp     *int64              `json:"timestamp,omitzero"`
	TimestampType string              `json:"timestampType,omitzero"`
	Key           []byte              `json:"key,omitzero"` // base64
	Value         []byte              `json:"value,omitzero"`
	Headers       []map[string][]int8 `json:"headers"` // each of one member: a list of Java's signed bytes
}

// Encode returns the batch as AWS writes it: members in the same order, a list per partition. What is nil or zero is left out.
func (b Batch) Encode() []byte {
	p := payload{b.Source, b.SourceARN, b.BootstrapServers, map[string][]written{}}
	for _, from := range b.Records {
		to := written{Topic: from.Topic, Partition: from.Partition, Offset: from.Offset,
			Key: from.Key, Value: from.Value, Headers: []map[string][]int8{}}
		if !from.Timestamp.IsZero() {
			to.Timestamp, to.TimestampType = new(from.Timestamp.UnixMilli()), "CREATE_TIME"
		}
		for _, header := range from.Headers {
			var signed []int8
			if header.Value != nil {
				signed = make([]int8, len(header.Value))
			}
			for i, c := range header.Value {
				signed[i] = int8(c)
			}
			to.Headers = append(to.Headers, map[string][]int8{header.Key: signed})
		}
		name := listName(from.Topic, from.Partition)
		p.Records[name] = append(p.Records[name], to)
	}
	out, err := json.Marshal(&p, json.Deterministic(true), json.FormatNilSliceAsNull(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(fmt.Sprint("trigger: ", err)) // text, numbers and bytes only
	}
	return out
}

// listName is how AWS names a partition, in payloads and in responses.
func listName(topic string, partition int32) string {
	return topic + "-" + strconv.Itoa(int(partition))
}
