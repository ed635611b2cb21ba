package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sipeat/sipeat/functions/testdata"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/spf13/cobra"
)

// batchOptions describe the batch of a consumer.
type batchOptions struct {
	records, partitions int
	bad                 bool
}

func (a *app) sampleCommand() *cobra.Command {
	var o batchOptions
	c := &cobra.Command{
		Use:   "sample FUNCTION",
		Short: "Write an AWS event for a function, to try it with",
		Long: "Write what AWS sends to a function: a request of API Gateway for an endpoint, a batch of an MSK event source\n" +
			"mapping for a consumer. The same flags give the same batch.\n\n" + functionsHelp(),
		Example: "  sipeat sample create-contact\n" +
			"  sipeat sample contact-created --records 100 --partitions 3 --bad | sipeat invoke contact-created -e -\n" +
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
	c.Flags().IntVar(&o.records, "records", 1, "number of events, 1 to 10000 (AWS's largest batch)")
	c.Flags().IntVar(&o.partitions, "partitions", 1, "number of partitions that they are spread over")
	c.Flags().BoolVar(&o.bad, "bad", false, "add a record that is no event")
	return c
}

// sample is the payload of a function that is committed beside it.
func sample(function string) (json.RawMessage, error) {
	return testdata.Samples.ReadFile(function + ".json")
}

// batch is the payload of a consumer.
func (o batchOptions) batch(function string) (json.RawMessage, error) {
	d, consumer := events.Lookup(function)
	switch {
	case !consumer:
		return nil, usageError{fmt.Errorf("%s is an endpoint; the flags are for consumers", function)}
	case o.records < 1 || o.records > 10_000:
		return nil, usageError{fmt.Errorf("--records: %d is not between 1 and 10000", o.records)}
	case o.partitions < 1 || o.partitions > 1_000:
		return nil, usageError{fmt.Errorf("--partitions: %d is not between 1 and 1000", o.partitions)}
	}
	batch := trigger.Batch{
		Source:           trigger.SourceMSK,
		SourceARN:        "arn:aws:kafka:eu-central-1:123456789012:cluster/sipeat/2f7b9a54-6d4f-4c6f-9b0e-1d2c3b4a5f60-3",
		BootstrapServers: "b-1.sipeat.a1b2c3.c3.kafka.eu-central-1.amazonaws.com:9098",
	}
	for i := range o.records {
		r, err := sampleRecord(d, i)
		if err != nil {
			return nil, err
		}
		batch.Records = append(batch.Records, r)
	}
	if o.bad {
		batch.Records = append(batch.Records, bus.Record{Key: []byte("bad"), Value: []byte(`{"eventId":`)})
	}
	for i := range batch.Records {
		r := &batch.Records[i]
		r.Topic, r.Partition, r.Offset, r.Timestamp = d.Topic, int32(i%o.partitions), int64(100+i/o.partitions), sampleTime(i)
	}
	return batch.Encode(), nil
}

// sampleTime is fixed, so that the same flags give the same batch.
func sampleTime(i int) time.Time {
	return time.Date(2026, 11, 23, 6, 54, 21, 0, time.UTC).Add(time.Duration(i) * time.Millisecond)
}

// sampleRecord is the type's sample with other ids.
func sampleRecord(d events.Definition, i int) (bus.Record, error) {
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
	factory := events.Factory{Now: func() time.Time { return sampleTime(i) }}
	e, err := d.Event(factory, payload, events.DerivedFrom(fmt.Sprintf("sample/%d", i)))
	if err != nil {
		return bus.Record{}, err
	}
	value, err := e.Encode()
	return bus.Record{Key: []byte(e.Key()), Value: value}, err
}
