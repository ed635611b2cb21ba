package trigger

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
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
	Source           info                `json:"eventSource"`
	SourceARN        info                `json:"eventSourceArn,omitzero"`
	BootstrapServers info                `json:"bootstrapServers"`
	Records          map[string][]record `json:"records"` // by partition; nil = absent or null
}

// record is one record in JSON. What is absent or null is nil.
type record struct {
	Topic         string                   `json:"topic"`
	Partition     *integer                 `json:"partition"`
	Offset        *integer                 `json:"offset"`
	Timestamp     *integer                 `json:"timestamp,omitzero"`
	TimestampType info                     `json:"timestampType,omitzero"`
	Key           []byte                   `json:"key,omitzero"` // base64
	Value         []byte                   `json:"value,omitzero"`
	Headers       []map[string]headerBytes `json:"headers"` // each of one member
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
		batch = Batch{Source: string(p.Source), SourceARN: string(p.SourceARN), BootstrapServers: string(p.BootstrapServers)}
		for _, name := range slices.Sorted(maps.Keys(p.Records)) {
			for i, r := range p.Records[name] {
				read, err := r.record()
				if err != nil {
					at := jsontext.Pointer("/records").AppendToken(name).AppendToken(strconv.Itoa(i))
					return Batch{}, &PayloadError{Pointer: shown(at), Reason: err.Error()}
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

func (r *record) record() (made bus.Record, err error) {
	switch {
	case r.Topic == "":
		return made, reason("the record has no topic")
	case r.Partition == nil:
		return made, reason("the record has no partition")
	case r.Offset == nil:
		return made, reason("the record has no offset")
	case *r.Partition < 0 || *r.Partition > math.MaxInt32:
		return made, reason("the partition is not from 0 to 2147483647")
	case *r.Offset < 0 || *r.Offset == math.MaxInt64: // the next offset must be one too
		return made, reason("the offset is not from 0 to 9223372036854775806")
	}
	made = bus.Record{Topic: r.Topic, Partition: int32(*r.Partition), Offset: int64(*r.Offset), Key: r.Key, Value: r.Value}
	if r.Timestamp != nil {
		made.Timestamp = time.UnixMilli(int64(*r.Timestamp))
	}
	for _, header := range r.Headers {
		for _, key := range slices.Sorted(maps.Keys(header)) {
			made.Headers = append(made.Headers, bus.Header{Key: key, Value: header[key]})
		}
	}
	return made, nil
}

// Encode returns the batch as AWS writes it: members in the same order, a list per partition, header bytes as Java's signed
// ones. What is nil or zero is left out.
func (b Batch) Encode() []byte {
	p := payload{info(b.Source), info(b.SourceARN), info(b.BootstrapServers), map[string][]record{}}
	for _, from := range b.Records {
		number := func(n int64) *integer { return (*integer)(&n) }
		to := record{Topic: from.Topic, Partition: number(int64(from.Partition)), Offset: number(from.Offset),
			Key: from.Key, Value: from.Value}
		if !from.Timestamp.IsZero() {
			to.Timestamp, to.TimestampType = number(from.Timestamp.UnixMilli()), "CREATE_TIME"
		}
		for _, header := range from.Headers {
			to.Headers = append(to.Headers, map[string]headerBytes{header.Key: header.Value})
		}
		name := listName(from.Topic, from.Partition)
		p.Records[name] = append(p.Records[name], to)
	}
	out, err := json.Marshal(&p, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(fmt.Sprint("trigger: ", err)) // text, numbers and bytes only
	}
	return out
}

// listName is how AWS names a partition, in payloads and in responses.
func listName(topic string, partition int32) string {
	return topic + "-" + strconv.Itoa(int(partition))
}

// info is text that nothing depends on: a value of another type does no harm.
type info string

// UnmarshalJSONFrom takes text only.
func (t *info) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '"' {
		return d.SkipValue()
	}
	return json.UnmarshalDecode(d, (*string)(t))
}

// integer is a whole number, in quotes too: AWS's own examples have some.
type integer int64

// UnmarshalJSONFrom refuses fractions and exponents: AWS writes none, and guessing an offset would be worse.
func (n *integer) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	if v.Kind() == '"' {
		v, _ = jsontext.AppendUnquote(nil, v) // valid but for its UTF-8
	}
	i, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || !v.IsValid() || i == math.MinInt64 {
		return reason("a whole number must be here")
	}
	*n = integer(i)
	return nil
}

// headerBytes is a list of bytes written as numbers, signed or not; nil = null.
type headerBytes []byte

// UnmarshalJSONFrom takes both.
func (h *headerBytes) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	var numbers []integer
	if err := json.UnmarshalDecode(d, &numbers); err != nil || numbers == nil {
		return err
	}
	*h = make(headerBytes, len(numbers))
	for i, n := range numbers {
		if n < math.MinInt8 || n > math.MaxUint8 {
			return reason("a header's byte must be from -128 to 255")
		}
		(*h)[i] = byte(n)
	}
	return nil
}

// MarshalJSONTo writes signed bytes.
func (h headerBytes) MarshalJSONTo(e *jsontext.Encoder) error {
	if h == nil {
		return e.WriteToken(jsontext.Null)
	}
	signed := make([]int8, len(h))
	for i, b := range h {
		signed[i] = int8(b)
	}
	return json.MarshalEncode(e, signed)
}
