package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/testdata"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/apigateway"
	"github.com/spf13/cobra"
)

func (a *app) invokeCommand() *cobra.Command {
	var file string
	var timeout time.Duration
	var throwaway bool
	c := &cobra.Command{
		Use:   "invoke FUNCTION",
		Short: "Invoke one function locally with an AWS event",
		Long: "Run one function as its Lambda does, in this process, with its sample event or the event in a file. It uses\n" +
			"the Kafka and the read model of the settings; with --throwaway, temporary ones that are deleted afterwards.\n\n" +
			"It shows the response; the exit status is 1 if that is 400 or more, or returns records for a retry.\n\n" +
			"Functions: " + strings.Join(a.functionNames(), ", "),
		Example: "  sipeat invoke create-contact --throwaway\n" +
			"  sipeat sample request-created --records 100 --bad | sipeat invoke request-created -e -",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: a.functionNames(),
		RunE: func(c *cobra.Command, args []string) error {
			payload, err := a.readPayload(args[0], file)
			if err != nil {
				return usageError{fmt.Errorf("-e: %w", err)}
			}
			where := a.settings.Store
			if throwaway {
				if where, err = a.openThrowaway(c.Context()); err != nil {
					return err
				}
			}
			invoke, err := a.function(c.Context(), args[0], where)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			response, err := invoke(ctx, payload)
			if err != nil {
				return fmt.Errorf("%s failed: %w", args[0], err)
			}
			return a.showResponse(args[0], response)
		},
	}
	c.Flags().StringVarP(&file, "event", "e", "", "file with the event, - for standard input (by default the function's sample)")
	c.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "deadline of the function")
	c.Flags().BoolVar(&throwaway, "throwaway", false, "use a temporary broker and read model")
	a.withFlags(c, "brokers")
	c.MarkFlagsMutuallyExclusive("throwaway", "brokers")
	return c
}

func (a *app) readPayload(function, file string) ([]byte, error) {
	switch file {
	case "":
		return sample(function)
	case "-":
		return io.ReadAll(a.stdin)
	}
	return os.ReadFile(file)
}

// openThrowaway opens a temporary broker, and returns the path of a temporary read model.
func (a *app) openThrowaway(ctx context.Context) (model string, err error) {
	data, err := os.MkdirTemp("", "sipeat-")
	if err != nil {
		return "", err
	}
	a.add("temporary data", func(context.Context) error { return os.RemoveAll(data) }) // after the broker's last write
	return readModel(data), a.openBroker(ctx, data, "127.0.0.1:0")
}

// function opens the parts, and builds a function on them as its Lambda binary does.
func (a *app) function(ctx context.Context, name, where string,
) (invoke func(context.Context, []byte) ([]byte, error), err error) {
	named := func(f web.Function) bool { return f.Name == name }
	if !slices.ContainsFunc(commands.Commands{}.Functions(), named) { // a command needs Kafka alone
		if err := a.openModel(ctx, where); err != nil {
			return nil, err
		}
	}
	if err := a.openPublisher(); err != nil {
		return nil, err
	}
	if all := a.endpoints(); slices.ContainsFunc(all, named) {
		noEnvironment := func(string) string { return "" } // the access rules in this machine's environment are for its API
		return apigateway.Function(all[slices.IndexFunc(all, named)], a.logger, noEnvironment).Invoke, nil
	}
	if a.notifier, err = a.openNotifier(ctx); err != nil {
		return nil, err
	}
	deadLetters, err := a.openDeadLetters()
	if err != nil {
		return nil, err
	}
	all := a.consumers().Functions()
	for all[0].Name != name {
		all = all[1:]
	}
	return trigger.New(all[0].Consumer, deadLetters, trigger.Options{ // no Advance: its batch is none of the topic's
		Partial: a.settings.PartialBatches, Logger: a.logger,
		Delivery: bus.Options{
			Report: bus.Log(a.logger, all[0].Consumer.Group, slog.LevelInfo), GiveUpAfter: a.settings.Notify.RetryFor,
		},
	}).Invoke, nil
}

func (a *app) showResponse(function string, response []byte) error {
	var r struct {
		Status   int               `json:"statusCode"`
		Headers  map[string]string `json:"headers"`
		Body     string            `json:"body"`
		Failures []json.RawMessage `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(response, &r); err != nil {
		return fmt.Errorf("the response of %s is not JSON: %w", function, err)
	}
	text, body := "", string(response)
	if r.Status != 0 {
		text, body = fmt.Sprintf("%d %s\n", r.Status, http.StatusText(r.Status)), r.Body
		for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
			text += name + ": " + events.LogText(r.Headers[name]) + "\n"
		}
		text += "\n"
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, []byte(body), "", "  ") == nil {
		body = pretty.String()
	}
	fmt.Fprintln(a.stdout, escapeControls(strings.TrimSpace(text+body)))
	switch {
	case r.Status >= http.StatusBadRequest:
		return fmt.Errorf("%s answered %d", function, r.Status)
	case len(r.Failures) > 0:
		return fmt.Errorf("%s returned %s for a retry; the log says why", function, counted(len(r.Failures), "record"))
	}
	return nil
}

func (a *app) sampleCommand() *cobra.Command {
	var records int
	var bad bool
	c := &cobra.Command{
		Use:   "sample FUNCTION",
		Short: "Write an AWS event for a function, to try it with",
		Long: "Write what AWS sends to a function: a request of API Gateway for an endpoint, a batch of an MSK event source\n" +
			"mapping for a consumer. The same flags give the same batch.\n\n" + "Functions: " + strings.Join(a.functionNames(), ", "),
		Example: "  sipeat sample contact-created --records 100 --bad | sipeat invoke contact-created -e -\n" +
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
func (a *app) functionNames() []string {
	return append(collect(a.endpoints(), func(f web.Function) string { return f.Name }),
		collect(allConsumers(), func(f consumers.Function) string { return f.Name })...)
}

// sample is the payload of a function that is committed beside it.
func sample(function string) ([]byte, error) { return testdata.Samples.ReadFile(function + ".json") }

// sampleBatch is a consumer's payload with copies of its event under other ids.
func sampleBatch(function string, payload []byte, records int, bad bool) ([]byte, error) {
	d, consumer := events.Lookup(function)
	if !consumer || records < 1 || records > 10_000 {
		return nil, usageError{errors.New("the flags are for consumers; --records must be from 1 to 10000")}
	}
	var batch struct {
		Source    string                      `json:"eventSource"`
		ARN       string                      `json:"eventSourceArn"`
		Bootstrap string                      `json:"bootstrapServers"`
		Records   map[string][]map[string]any `json:"records"`
	}
	var event map[string]any
	value, err := d.Sample()
	if err = errors.Join(err, json.Unmarshal(value, &event), json.Unmarshal(payload, &batch)); err != nil {
		return nil, err
	}
	first := slices.Concat(slices.Collect(maps.Values(batch.Records))...)[0]
	clear(batch.Records)
	all := records
	if bad {
		all++
	}
	for i := range all {
		id := uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "sample/%s/%d", function, i)).String()
		event["eventId"], event["data"].(map[string]any)["id"] = id, id
		if value, err = json.Marshal(event); err != nil {
			return nil, err
		}
		if i == records {
			value = []byte(`{"eventId":`)
		}
		r, partition := maps.Clone(first), fmt.Sprintf("%s-%d", function, i%3)
		r["key"], r["value"], r["partition"], r["offset"] = []byte(id), value, i%3, 100+i/3
		batch.Records[partition] = append(batch.Records[partition], r)
	}
	return json.Marshal(batch)
}
