package trigger

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

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

// payload is a batch in JSON (https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html).
type payload struct {
	Source           string              `json:"eventSource"`
	SourceARN        string              `json:"eventSourceArn,omitzero"`
	BootstrapServers string              `json:"bootstrapServers"`
	Records          map[string][]record `json:"records"` // by partition; nil = absent or null
}

// record is one record in JSON. What is absent or null is nil.
type record struct {
	Topic         string               `json:"topic"`
	Partition     *integer             `json:"partition"`
	Offset        *integer             `json:"offset"`
	Timestamp     *integer             `json:"timestamp,omitzero"`
	TimestampType string               `json:"timestampType,omitzero"`
	Key           []byte               `json:"key,omitzero"` // base64
	Value         []byte               `json:"value,omitzero"`
	Headers       []map[string][]int16 `json:"headers"` // each of one member: a list of bytes, signed or not
}

// Decode reads the payload of a Kafka event source mapping. Nothing of the batch shares memory with payload.
//
// Members may be in any order; unknown ones are skipped. Topic and partition are the record's own, not its list's name. A
// header's bytes may be signed (as Java writes them) or not; a key of several headers is kept as often, in order.
//
// A record without topic, partition or offset, or with a fault in its base64, is a [PayloadError] of the whole batch. It
// must not become a dead letter, because not the event is at fault but what brought it, and without an offset the record
// cannot be named to AWS. The batch is retried, and the error says where to look.
func Decode(b []byte) (Batch, error) {
	batch, ok := decodePlain(b)
	if !ok {
		var p payload
		if err := json.Unmarshal(b, &p, jsontext.AllowInvalidUTF8(true)); err != nil { // as encoding/json would
			return Batch{}, newPayloadError(err)
		}
		batch = Batch{Source: p.Source, SourceARN: p.SourceARN, BootstrapServers: p.BootstrapServers}
		for _, name := range slices.Sorted(maps.Keys(p.Records)) {
			for i, r := range p.Records[name] {
				read, ok := r.read()
				if !ok {
					at := jsontext.Pointer("/records").AppendToken(name).AppendToken(strconv.Itoa(i))
					return Batch{}, &PayloadError{shown(at), "a record must have a topic, a partition and an offset, within Kafka's " +
						"bounds, and bytes from -128 to 255 in its headers"}
				}
				batch.Records = append(batch.Records, read)
			}
		}
		ok = p.Records != nil
	}
	switch batch.Source {
	case SourceMSK, SourceSelfManaged, SourceSelfManagedOld:
	default:
		return Batch{}, &PayloadError{Reason: "its eventSource is not aws:kafka or SelfManagedKafka: " +
			"another trigger invokes this function"}
	}
	if !ok {
		return Batch{}, &PayloadError{Reason: "it has no records"}
	}
	return batch, nil
}

func (r *record) read() (made bus.Record, ok bool) {
	if r.Topic == "" || r.Partition == nil || r.Offset == nil || *r.Partition < 0 || *r.Partition > math.MaxInt32 ||
		*r.Offset < 0 || *r.Offset == math.MaxInt64 { // the next offset must be one too
		return made, false
	}
	made = bus.Record{Topic: r.Topic, Partition: int32(*r.Partition), Offset: int64(*r.Offset), Key: r.Key, Value: r.Value}
	if r.Timestamp != nil {
		made.Timestamp = time.UnixMilli(int64(*r.Timestamp))
	}
	for _, header := range r.Headers {
		for _, key := range slices.Sorted(maps.Keys(header)) {
			var value []byte
			if header[key] != nil {
				value = make([]byte, len(header[key]))
			}
			for i, n := range header[key] {
				if n < math.MinInt8 || n > math.MaxUint8 {
					return made, false
				}
				value[i] = byte(n)
			}
			made.Headers = append(made.Headers, bus.Header{Key: key, Value: value})
		}
	}
	return made, true
}

// Encode returns the batch as AWS writes it: members in the same order, a list per partition, header bytes as Java's signed
// ones. What is nil or zero is left out.
func (b Batch) Encode() []byte {
	p := payload{b.Source, b.SourceARN, b.BootstrapServers, map[string][]record{}}
	for _, from := range b.Records {
		number := func(n int64) *integer { return (*integer)(&n) }
		to := record{Topic: from.Topic, Partition: number(int64(from.Partition)), Offset: number(from.Offset),
			Key: from.Key, Value: from.Value, Headers: []map[string][]int16{}}
		if !from.Timestamp.IsZero() {
			to.Timestamp, to.TimestampType = number(from.Timestamp.UnixMilli()), "CREATE_TIME"
		}
		for _, header := range from.Headers {
			var signed []int16
			if header.Value != nil {
				signed = make([]int16, len(header.Value))
			}
			for i, c := range header.Value {
				signed[i] = int16(int8(c))
			}
			to.Headers = append(to.Headers, map[string][]int16{header.Key: signed})
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

// integer is a whole number, in quotes too: AWS's own examples have some.
type integer int64

// UnmarshalJSON refuses fractions and exponents: AWS writes none, and guessing an offset would be worse.
func (n *integer) UnmarshalJSON(b []byte) (err error) {
	*(*int64)(n), err = strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	return err
}
