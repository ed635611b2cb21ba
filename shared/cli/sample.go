package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/functions/testdata"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/spf13/cobra"
)

func (a *app) sampleCommand() *cobra.Command {
	var records int
	var bad bool
	c := &cobra.Command{
		Use:   "sample FUNCTION",
		Short: "Write an AWS event for a function, to try it with",
		Long: "Write what AWS sends to a function: a request of API Gateway for an endpoint, a batch of an MSK event source\n" +
			"mapping for a consumer. The same flags give the same batch.\n\n" + functionsHelp(),
		Example: "  sipeat sample create-contact\n" +
			"  sipeat sample contact-created --records 100 --bad | sipeat invoke contact-created -e -\n" +
			"  sipeat sample request-created --records 10 > batch.json && sam local invoke RequestCreatedFunction -e batch.json",
		Args:      oneFunction,
		ValidArgs: functionNames(),
		RunE: func(c *cobra.Command, args []string) error {
			payload, err := sample(args[0])
			if c.Flags().NFlag() > 0 {
				payload, err = sampleBatch(args[0], records, bad)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, string(bytes.TrimSpace(payload)))
			return err
		},
	}
	c.Flags().IntVar(&records, "records", 1, "number of events, 1 to 10000 (AWS's largest batch), on 3 partitions")
	c.Flags().BoolVar(&bad, "bad", false, "add a record that is no event")
	return c
}

// functionNames are all functions: those of the API, then the consumers.
func functionNames() (names []string) {
	for _, f := range (&parts{}).endpoints() {
		names = append(names, f.Name)
	}
	for _, f := range allConsumers() {
		names = append(names, f.Name)
	}
	return names
}

func oneFunction(_ *cobra.Command, args []string) error {
	if len(args) != 1 || !slices.Contains(functionNames(), args[0]) {
		return fmt.Errorf("name one function, not %q\n%s", args, functionsHelp())
	}
	return nil
}

// functionsHelp lists the functions, five on a line.
func functionsHelp() string {
	help := "Functions:"
	for line := range slices.Chunk(functionNames(), 5) {
		help += "\n  " + strings.Join(line, ", ")
	}
	return help
}

// sample is the payload of a function that is committed beside it.
func sample(function string) ([]byte, error) { return testdata.Samples.ReadFile(function + ".json") }

// sampleBatch is a payload of a consumer with any number of records.
func sampleBatch(function string, records int, bad bool) ([]byte, error) {
	d, consumer := events.Lookup(function)
	switch {
	case !consumer:
		return nil, usageError{fmt.Errorf("%s is an endpoint; the flags are for consumers", function)}
	case records < 1 || records > 10_000:
		return nil, usageError{errors.New("--records must be from 1 to 10000")}
	}
	text, err := d.Sample()
	if err != nil {
		return nil, err
	}
	var event map[string]any
	if err := json.Unmarshal(text, &event); err != nil {
		return nil, err
	}
	batch := trigger.Batch{
		Source:           trigger.SourceMSK,
		SourceARN:        "arn:aws:kafka:eu-central-1:123456789012:cluster/sipeat/2f7b9a54-6d4f-4c6f-9b0e-1d2c3b4a5f60-3",
		BootstrapServers: "b-1.sipeat.a1b2c3.c3.kafka.eu-central-1.amazonaws.com:9098",
	}
	for i := range records {
		id := uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "sample/%s/%d", function, i)).String()
		event["eventId"] = id
		event["data"].(map[string]any)["id"] = id
		value, err := json.Marshal(event)
		if err != nil {
			return nil, err
		}
		batch.Records = append(batch.Records, bus.Record{Key: []byte(id), Value: value})
	}
	if bad {
		batch.Records = append(batch.Records, bus.Record{Key: []byte("bad"), Value: []byte(`{"eventId":`)})
	}
	for i := range batch.Records {
		r := &batch.Records[i]
		r.Topic, r.Partition, r.Offset = d.Topic, int32(i%3), int64(100+i/3)
		r.Timestamp = time.Date(2026, 11, 23, 6, 54, 21, 0, time.UTC).Add(time.Duration(i) * time.Millisecond)
	}
	return batch.Encode(), nil
}
