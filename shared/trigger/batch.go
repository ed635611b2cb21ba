package trigger

import (
	"math"
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
	Source           info    `json:"eventSource"`
	SourceARN        info    `json:"eventSourceArn,omitzero"`
	BootstrapServers info    `json:"bootstrapServers"`
	Records          records `json:"records"`
}

// record is one record in JSON. What is absent is zero: none for numbers, nil for bytes.
type record struct {
	Topic         string  `json:"topic"`
	Partition     integer `json:"partition"`
	Offset        integer `json:"offset"`
	Timestamp     integer `json:"timestamp,omitzero"`
	TimestampType info    `json:"timestampType,omitzero"`
	Key           []byte  `json:"key,omitzero"` // base64
	Value         []byte  `json:"value,omitzero"`
	Headers       headers `json:"headers"`
}

// lenient reads JSON as encoding/json does, because nothing else is known of AWS's writer.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// Decode reads the payload of a Kafka event source mapping. Nothing of the batch shares memory with payload.
//
// Members may be in any order; unknown ones are skipped. Of a member that is there twice the last counts, but records are
// never dropped: lists of one name are joined. Topic and partition are the record's own, not its list's name. A header's
// bytes may be signed (as Java writes them) or not; a key that is there several times is kept as often, in order.
//
// A record without topic, partition or offset, or with a fault in its base64, is a [PayloadError] of the whole batch. It
// must not become a dead letter, because the event is not at fault but what brought it, and without an offset AWS cannot be
// told which record it was. The batch is retried, and the error says where to look.
func Decode(b []byte) (Batch, error) {
	p, ok := decodePlain(b)
	if !ok {
		p = payload{}
		if err := json.Unmarshal(b, &p, lenient); err != nil {
			return Batch{}, newPayloadError(err)
		}
	}
	switch p.Source {
	case SourceMSK, SourceSelfManaged, SourceSelfManagedOld:
	default:
		return Batch{}, &PayloadError{Reason: "its eventSource is none of aws:kafka and SelfManagedKafka: another trigger invokes this function"}
	}
	if !p.Records.found {
		return Batch{}, &PayloadError{Reason: "it has no records"}
	}
	return Batch{string(p.Source), string(p.SourceARN), string(p.BootstrapServers), p.Records.list}, nil
}

// Encode returns the batch as AWS writes it: members in the same order, a list per partition, header bytes as Java's signed
// ones. What is nil or zero is left out.
func (b Batch) Encode() []byte {
	p := payload{info(b.Source), info(b.SourceARN), info(b.BootstrapServers), records{b.Records, true}}
	out, err := json.Marshal(&p, lenient)
	if err != nil {
		panic("trigger: " + err.Error()) // text, numbers and bytes only
	}
	return out
}

// info is text that nothing depends on: a value of another type does no harm.
type info string

// UnmarshalJSONFrom takes text only.
func (t *info) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if *t = ""; d.PeekKind() != '"' {
		return d.SkipValue()
	}
	return json.UnmarshalDecode(d, (*string)(t))
}

// integer is a whole number, in quotes too: AWS's own examples have some.
type integer int64

// none is an integer that is absent or null.
const none integer = math.MinInt64

// IsZero is for omitzero.
func (n integer) IsZero() bool { return n == none }

// UnmarshalJSONFrom refuses fractions and exponents: AWS writes none, and guessing an offset would be worse.
func (n *integer) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil || v.Kind() == 'n' {
		*n = none
		return err
	}
	if v.Kind() == '"' {
		v, _ = jsontext.AppendUnquote(nil, v) // valid but for its UTF-8
	}
	i, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil || i == int64(none) || !v.IsValid() {
		return fault(d, "a whole number must be here")
	}
	*n = integer(i)
	return nil
}

// headers are objects of one member each, whose value is a list of bytes written as numbers.
type headers []bus.Header

// UnmarshalJSONFrom keeps order and repetitions.
func (h *headers) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*h = nil
	return each(d, '[', func() error {
		return each(d, '{', func() error {
			key, err := d.ReadToken()
			if err != nil {
				return err
			}
			header := bus.Header{Key: key.String()}
			if d.PeekKind() != 'n' {
				header.Value = []byte{}
			}
			err = each(d, '[', func() error {
				n := none
				err := n.UnmarshalJSONFrom(d)
				if err == nil && (n < -128 || n > 255) {
					err = fault(d, "a header's byte must be from -128 to 255")
				}
				header.Value = append(header.Value, byte(n))
				return err
			})
			*h = append(*h, header)
			return err
		})
	})
}

// MarshalJSONTo writes signed bytes.
func (h headers) MarshalJSONTo(e *jsontext.Encoder) error {
	all := make([]map[string][]int8, len(h))
	for i, header := range h {
		var signed []int8
		if header.Value != nil {
			signed = make([]int8, len(header.Value))
		}
		for j, b := range header.Value {
			signed[j] = int8(b)
		}
		all[i] = map[string][]int8{header.Key: signed}
	}
	return json.MarshalEncode(e, all, json.FormatNilSliceAsNull(true))
}

// records are lists of records, by the name of their partition.
type records struct {
	list  []bus.Record
	found bool // records is there and not null
}

// UnmarshalJSONFrom joins the lists.
func (r *records) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	r.found = r.found || d.PeekKind() != 'n'
	return each(d, '{', func() error {
		if err := d.SkipValue(); err != nil { // the list's name
			return err
		}
		return each(d, '[', func() error {
			read, null := record{Partition: none, Offset: none, Timestamp: none}, d.PeekKind() == 'n'
			err := json.UnmarshalDecode(d, &read)
			switch missing := read.check(); {
			case err != nil:
				return err
			case null:
				return fault(d, "a record must be here")
			case missing != "":
				return fault(d, missing)
			}
			r.list = append(r.list, read.record())
			return nil
		})
	})
}

// MarshalJSONTo writes a list per partition.
func (r records) MarshalJSONTo(e *jsontext.Encoder) error {
	lists := map[string][]record{}
	for _, from := range r.list {
		to := record{Topic: from.Topic, Partition: integer(from.Partition), Offset: integer(from.Offset), Timestamp: none,
			Key: from.Key, Value: from.Value, Headers: from.Headers}
		if !from.Timestamp.IsZero() {
			to.Timestamp, to.TimestampType = integer(from.Timestamp.UnixMilli()), "CREATE_TIME"
		}
		name := listName(from.Topic, from.Partition)
		lists[name] = append(lists[name], to)
	}
	return json.MarshalEncode(e, lists, json.Deterministic(true))
}

// listName is how AWS names a partition, in payloads and in responses.
func listName(topic string, partition int32) string {
	return topic + "-" + strconv.Itoa(int(partition))
}

// check returns what is wrong with a record; "" = nothing.
func (r *record) check() string {
	switch {
	case r.Topic == "":
		return "the record has no topic"
	case r.Partition == none:
		return "the record has no partition"
	case r.Offset == none:
		return "the record has no offset"
	case r.Partition < 0 || r.Partition > math.MaxInt32:
		return "the partition is not from 0 to 2147483647"
	case r.Offset < 0 || r.Offset == math.MaxInt64: // the next offset must be one too
		return "the offset is not from 0 to 9223372036854775806"
	}
	return ""
}

func (r *record) record() bus.Record {
	made := bus.Record{Topic: r.Topic, Partition: int32(r.Partition), Offset: int64(r.Offset), Key: r.Key, Value: r.Value, Headers: r.Headers}
	if r.Timestamp != none {
		made.Timestamp = time.UnixMilli(int64(r.Timestamp))
	}
	return made
}

// each reads the elements of a list, or the members of an object, or null.
func each(d *jsontext.Decoder, open jsontext.Kind, read func() error) error {
	switch d.PeekKind() {
	case 'n':
		return d.SkipValue()
	case open, 0: // 0: a syntax error, which the token is
	default:
		return fault(d, map[jsontext.Kind]string{'[': "a list", '{': "an object"}[open]+" must be here")
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for {
		switch d.PeekKind() {
		case '}', ']', 0:
			_, err := d.ReadToken()
			return err
		}
		if err := read(); err != nil {
			return err
		}
	}
}
