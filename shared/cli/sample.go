package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/functions/testdata"
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
			"mapping for a consumer. The same flags give the same batch.\n\n" + a.functionsHelp(),
		Example: "  sipeat sample create-contact\n" +
			"  sipeat sample contact-created --records 100 --bad | sipeat invoke contact-created -e -\n" +
			"  sipeat sample request-created --records 10 > batch.json && sam local invoke RequestCreatedFunction -e batch.json",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: a.functionNames(),
		RunE: func(c *cobra.Command, args []string) error {
			payload, err := sample(args[0])
			if err == nil && c.Flags().NFlag() > 0 {
				payload, err = sampleBatch(args[0], payload, records, bad)
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
func (a *app) functionNames() (names []string) {
	for _, f := range a.endpoints() {
		names = append(names, f.Name)
	}
	for _, f := range allConsumers() {
		names = append(names, f.Name)
	}
	return names
}

// functionsHelp lists the functions, five on a line.
func (a *app) functionsHelp() string {
	help := "Functions:"
	for line := range slices.Chunk(a.functionNames(), 5) {
		help += "\n  " + strings.Join(line, ", ")
	}
	return help
}

// sample is the payload of a function that is committed beside it.
func sample(function string) ([]byte, error) { return testdata.Samples.ReadFile(function + ".json") }

// sampleBatch is a consumer's payload with copies of its event under other ids.
func sampleBatch(function string, payload []byte, records int, bad bool) ([]byte, error) {
	if _, consumer := events.Lookup(function); !consumer || records < 1 || records > 10_000 {
		return nil, usageError{errors.New("the flags are for consumers; --records must be from 1 to 10000")}
	}
	batch, err := trigger.Decode(payload)
	if err != nil {
		return nil, err
	}
	first := batch.Records[0]
	var event map[string]any
	if err := json.Unmarshal(first.Value, &event); err != nil {
		return nil, err
	}
	batch.Records = nil
	add := func(key string, value []byte) {
		r, i := first, len(batch.Records)
		r.Key, r.Value, r.Partition, r.Offset = []byte(key), value, int32(i%3), int64(100+i/3)
		batch.Records = append(batch.Records, r)
	}
	for i := range records {
		id := uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "sample/%s/%d", function, i)).String()
		event["eventId"], event["data"].(map[string]any)["id"] = id, id
		value, err := json.Marshal(event)
		if err != nil {
			return nil, err
		}
		add(id, value)
	}
	if bad {
		add("bad", []byte(`{"eventId":`))
	}
	return batch.Encode(), nil
}
