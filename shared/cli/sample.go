package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/spf13/cobra"
)

// batchOptions say what a batch shall hold beside good events.
type batchOptions struct {
	records, partitions int
	seed                string
	tombstone           bool
	bad                 string
	selfManaged         bool
}

// badValues are the ways in which a record can be no event, each with what makes one of a good value.
var badValues = []struct {
	name string
	make func(good []byte) []byte
}{
	{"json", func(good []byte) []byte { return good[:len(good)/2] }},
	{"event-id", func(good []byte) []byte {
		return bytes.Replace(good, []byte(`"eventId"`), []byte(`"eventIdentity"`), 1)
	}},
	{"type", func(good []byte) []byte {
		return bytes.Replace(good, []byte(`"eventType":"`), []byte(`"eventType":"not-`), 1)
	}},
	{"data", func(good []byte) []byte { return bytes.Replace(good, []byte(`"data"`), []byte(`"date"`), 1) }},
}

func badNames() (names string) {
	for _, b := range badValues {
		names += ", " + b.name
	}
	return names[2:]
}

func (a *app) sampleCommand() *cobra.Command {
	o := batchOptions{records: 1, partitions: 1, seed: "sample"}
	c := &cobra.Command{
		Use:   "sample FUNCTION",
		Short: "Write what AWS sends to a function, to try it with",
		Long: "Write a payload for a function: of an endpoint its sample, as API Gateway sends it; of a consumer\n" +
			"its sample too, or, with one of the flags below, a batch as an event source mapping of MSK sends it.\n" +
			"The same flags give the same batch.\n\n" + functionsHelp(),
		Example: "  sipeat sample create-contact\n" +
			"  sipeat sample contact-created --records 100 --partitions 3 --bad json --tombstone | sipeat invoke contact-created -e -\n" +
			"  sipeat sample request-created --records 10 > batch.json && sam local invoke RequestCreatedFunction -e batch.json",
		Args:      oneFunction,
		ValidArgs: functionNames(),
		RunE: func(c *cobra.Command, args []string) error {
			payload, err := sample(args[0])
			if err == nil && c.Flags().NFlag() > 0 {
				payload, err = o.batch(args[0])
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, string(bytes.TrimSpace(payload)))
			return err
		},
	}
	c.Flags().IntVar(&o.records, "records", o.records, "how many events, 1 to 10000 (AWS's largest batch)")
	c.Flags().IntVar(&o.partitions, "partitions", o.partitions, "over how many partitions they are spread")
	c.Flags().StringVar(&o.seed, "seed", o.seed, "another text gives other ids")
	c.Flags().BoolVar(&o.tombstone, "tombstone", false, "with one record more that has no value")
	c.Flags().StringVar(&o.bad, "bad", "", "with one record more that is no event, by its fault: "+badNames())
	c.Flags().BoolVar(&o.selfManaged, "self-managed", false, "as from a Kafka that is not MSK")
	return c
}

// batch is the payload of a consumer.
func (o batchOptions) batch(function string) (json.RawMessage, error) {
	d, consumer := events.Lookup(function)
	switch {
	case !consumer:
		return nil, usageError{fmt.Errorf("%s is an endpoint: its sample is one request, and the flags are for consumers", function)}
	case o.records < 1 || o.records > 10_000:
		return nil, usageError{fmt.Errorf("--records: %d is not from 1 to 10000", o.records)}
	case o.partitions < 1 || o.partitions > 1_000:
		return nil, usageError{fmt.Errorf("--partitions: %d is not from 1 to 1000", o.partitions)}
	}
	batch := trigger.Batch{
		Source:           trigger.SourceMSK,
		SourceARN:        "arn:aws:kafka:eu-central-1:123456789012:cluster/sipeat/2f7b9a54-6d4f-4c6f-9b0e-1d2c3b4a5f60-3",
		BootstrapServers: "b-1.sipeat.a1b2c3.c3.kafka.eu-central-1.amazonaws.com:9098,b-2.sipeat.a1b2c3.c3.kafka.eu-central-1.amazonaws.com:9098",
	}
	if o.selfManaged {
		batch.Source, batch.SourceARN, batch.BootstrapServers = trigger.SourceSelfManaged, "", "kafka-1.example.com:9092,kafka-2.example.com:9092"
	}
	add := func(r bus.Record) {
		i := len(batch.Records)
		r.Topic, r.Partition, r.Offset = d.Topic, int32(i%o.partitions), int64(100+i/o.partitions)
		r.Timestamp = sampleTime.Add(time.Duration(i) * time.Millisecond)
		batch.Records = append(batch.Records, r)
	}
	for i := range o.records {
		r, err := o.event(d, i)
		if err != nil {
			return nil, err
		}
		add(r)
	}
	if o.bad != "" {
		bad, err := o.spoilt(d)
		if err != nil {
			return nil, err
		}
		add(bad)
	}
	if o.tombstone {
		add(bus.Record{Key: []byte("a-thing-that-is-gone")})
	}
	return batch.Encode(), nil
}

// sampleTime is when all of it happens, so that the same flags give the same batch.
var sampleTime = time.Date(2026, 11, 23, 6, 54, 21, 0, time.UTC)

// event is the type's sample under other ids.
func (o batchOptions) event(d events.Definition, i int) (bus.Record, error) {
	text, err := d.Sample()
	if err != nil {
		return bus.Record{}, err
	}
	var frozen struct{ Data map[string]any }
	if err := json.Unmarshal(text, &frozen); err != nil {
		return bus.Record{}, err
	}
	delete(frozen.Data, "id")
	delete(frozen.Data, "timestamp")
	data, err := json.Marshal(frozen.Data)
	if err != nil {
		return bus.Record{}, err
	}
	payload := d.Payload()
	if err := json.Unmarshal(data, payload); err != nil {
		return bus.Record{}, err
	}
	now := sampleTime.Add(time.Duration(i) * time.Millisecond)
	e, err := d.Event(events.Factory{Now: func() time.Time { return now }}, payload, events.DerivedFrom(fmt.Sprintf("%s/%d", o.seed, i)))
	if err != nil {
		return bus.Record{}, err
	}
	value, err := e.Encode()
	return bus.Record{Key: []byte(e.Key()), Value: value}, err
}

// spoilt is a record that its consumer must reject.
func (o batchOptions) spoilt(d events.Definition) (bus.Record, error) {
	for _, b := range badValues {
		if b.name == o.bad {
			r, err := o.event(d, o.records)
			r.Value = b.make(r.Value)
			return r, err
		}
	}
	return bus.Record{}, usageError{errors.New("--bad: there are " + badNames())}
}
