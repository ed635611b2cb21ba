package trigger

import (
	"math"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
)

// Decode reads the payload that an event source mapping sends, in one pass. Nothing of the batch is a part of payload.
//
// Members may stand in any order; those that it does not know are skipped at every level. Topic and partition are the
// record's own: the name of the list that it stands in says the same in another form. Where a member stands twice the
// last counts, but records are never dropped: lists of one name are joined. A header's bytes may be signed or not; one
// that stands several times in a record is kept as often, in order.
//
// Any record without topic, partition or offset, or that is not base64, is a [PayloadError] of the whole batch. Not the
// event is at fault then but what brought it, so it must not go into the dead letters; and which record it was cannot be
// said to AWS without its offset. The batch comes again, and the error says where to look.
func Decode(payload []byte) (Batch, error) {
	d := decoder{
		scanner: scanner{src: payload},
		// Four characters of base64 are three bytes, and a number of a header's takes two characters at least.
		arena: make([]byte, 0, len(payload)/4*3+8),
	}
	err := d.document()
	return d.batch, err
}

type decoder struct {
	scanner
	batch   Batch
	found   bool // records are there
	arena   []byte
	headers []bus.Header
	names   []string // header keys that were seen
	fields  fields   // of the record that is being read
}

type fields uint8

const (
	hasTopic fields = 1 << iota
	hasPartition
	hasOffset
)

func (d *decoder) document() error {
	if d.space() == '[' {
		return d.fault("%s", foreign(d.src))
	}
	if err := d.object(d.member); err != nil {
		return err
	}
	if d.at = (place{}); d.space() != 0 || d.pos < len(d.src) {
		return d.fault("something stands behind its end")
	}
	switch d.batch.Source {
	case SourceMSK, SourceSelfManaged, SourceSelfManagedToo:
	case "":
		return d.fault("it has no eventSource; %s", foreign(d.src))
	default:
		return d.fault("its eventSource is none of %s, %s and %s", SourceMSK, SourceSelfManaged, SourceSelfManagedToo)
	}
	if !d.found {
		return d.fault("it has no records")
	}
	return nil
}

func (d *decoder) member(name []byte) (err error) {
	d.at = place{record: -1, header: -1}
	switch string(name) {
	case "eventSource":
		d.at.member = "eventSource"
		d.batch.Source, err = d.info(SourceMSK)
	case "eventSourceArn":
		d.at.member = "eventSourceArn"
		d.batch.SourceARN, err = d.info("")
	case "bootstrapServers":
		d.at.member = "bootstrapServers"
		d.batch.BootstrapServers, err = d.info("")
	case "records":
		d.at.member = "records"
		if d.null() {
			return nil
		}
		if d.space() == '[' {
			return d.fault("an object must stand here, not a list; %s", foreign(d.src))
		}
		d.found = true
		err = d.object(d.list)
	default:
		err = d.skip()
	}
	return err
}

// info reads text that is only for information, so that anything else in its place does no harm.
func (d *decoder) info(likely string) (string, error) {
	if d.space() != '"' {
		return "", d.skip()
	}
	b, err := d.text()
	if string(b) == likely {
		return likely, err
	}
	return string(b), err
}

// list reads the records of one partition.
func (d *decoder) list(name []byte) error {
	d.at.list, d.at.record = name, -1
	defer func() { d.at.list = nil }()
	if d.null() {
		return nil
	}
	return d.array(func() error {
		d.at.record++
		return d.record()
	})
}

func (d *decoder) record() error {
	began := d.pos
	d.batch.Records = append(d.batch.Records, bus.Record{})
	d.fields = 0
	if err := d.object(d.field); err != nil {
		return err
	}
	d.at.field = ""
	for _, must := range []struct {
		field fields
		name  string
	}{{hasTopic, "topic"}, {hasPartition, "partition"}, {hasOffset, "offset"}} {
		if d.fields&must.field == 0 {
			return d.fault("the record has no %s", must.name)
		}
	}
	if more := (len(d.src) - d.pos) / (d.pos - began); len(d.batch.Records) == 1 && more > 0 { // so many of its size fit into the rest
		d.batch.Records = append(make([]bus.Record, 0, 2+more+more/8), d.batch.Records...)
	}
	return nil
}

func (d *decoder) field(name []byte) (err error) {
	r := &d.batch.Records[len(d.batch.Records)-1]
	has := fields(0)
	var n int64
	switch string(name) {
	case "topic":
		if d.at.field = "topic"; !d.null() {
			r.Topic, err = d.topic()
			has = hasTopic
		} else {
			d.fields &^= hasTopic
		}
	case "partition":
		if d.at.field = "partition"; !d.null() {
			n, err = d.integer(0, math.MaxInt32)
			r.Partition, has = int32(n), hasPartition
		} else {
			d.fields &^= hasPartition
		}
	case "offset":
		if d.at.field = "offset"; !d.null() {
			r.Offset, err = d.integer(0, math.MaxInt64-1) // the offset behind it must be one too
			has = hasOffset
		} else {
			d.fields &^= hasOffset
		}
	case "timestamp":
		if d.at.field, r.Timestamp = "timestamp", (time.Time{}); !d.null() {
			n, err = d.integer(math.MinInt64+1, math.MaxInt64)
			r.Timestamp = time.UnixMilli(n)
		}
	case "key":
		d.at.field = "key"
		r.Key, err = d.base64()
	case "value":
		d.at.field = "value"
		r.Value, err = d.base64()
	case "headers":
		d.at.field = "headers"
		r.Headers, err = d.headerList()
	default:
		d.at.field = ""
		err = d.skip()
	}
	d.fields |= has
	return err
}

func (d *decoder) topic() (string, error) {
	if d.space() != '"' {
		return "", d.unexpected("text")
	}
	b, err := d.text()
	if err == nil && len(b) == 0 {
		return "", d.fault("the topic is empty")
	}
	if n := len(d.batch.Records); n > 1 && d.batch.Records[n-2].Topic == string(b) {
		return d.batch.Records[n-2].Topic, err
	}
	return string(b), err
}
