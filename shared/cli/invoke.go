package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/apigateway"
	"github.com/spf13/cobra"
)

// invocation is one call of one function.
type invocation struct {
	function, file  string
	timeout         time.Duration
	throwaway, json bool
}

func (a *app) invokeCommand() *cobra.Command {
	var i invocation
	var brokers string
	c := &cobra.Command{
		Use:   "invoke FUNCTION",
		Short: "Invoke one function locally with an AWS event",
		Long: "Run one function as its Lambda does, in this process, with its sample event or the event in a file. It uses\n" +
			"the Kafka and the read model of the settings; with --throwaway, temporary ones that are deleted afterwards.\n\n" +
			"Standard output shows the response: status, headers and body of an endpoint, the batch response of a consumer.\n" +
			"The exit status is 1 if the function fails, answers 400 or more, or returns records for a retry.\n\n" + functionsHelp(),
		Example: "  sipeat invoke create-contact --throwaway\n" +
			"  sipeat invoke get-demand -e functions/testdata/get-demand.json\n" +
			"  sipeat sample request-created --records 100 --bad | sipeat invoke request-created -e -",
		Args:      oneFunction,
		ValidArgs: functionNames(),
		RunE: func(c *cobra.Command, args []string) error {
			cluster, err := a.cluster(brokers)
			switch {
			case err != nil:
				return err
			case i.timeout <= 0:
				return usageError{fmt.Errorf("--timeout: %v is not positive; for example 30s", i.timeout)}
			case i.throwaway && brokers != "":
				return usageError{errors.New("--throwaway and --brokers exclude each other")}
			}
			i.function = args[0]
			return a.invoke(c.Context(), cluster, i)
		},
	}
	c.Flags().StringVarP(&i.file, "event", "e", "", "file with the event, - for standard input (by default the function's sample)")
	c.Flags().DurationVar(&i.timeout, "timeout", 30*time.Second, "deadline of the function")
	c.Flags().BoolVar(&i.throwaway, "throwaway", false, "use a temporary broker and read model")
	c.Flags().BoolVar(&i.json, "json", false, "write the response as Lambda receives it, on one line")
	c.Flags().StringVar(&brokers, "brokers", "", brokersUsage)
	return c
}

// functionNames are all functions: those of the API, then the consumers.
func functionNames() (names []string) {
	for _, f := range slices.Concat(commands.Commands{}.Functions(), queries.Queries{}.Functions()) {
		names = append(names, f.Name)
	}
	for _, f := range allConsumers() {
		names = append(names, f.Name)
	}
	return names
}

func oneFunction(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("name one function\n" + functionsHelp())
	}
	if !slices.Contains(functionNames(), args[0]) {
		return fmt.Errorf("unknown function %q%s\n%s", args[0], didYouMean(args[0], functionNames()), functionsHelp())
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

func (a *app) invoke(ctx context.Context, cluster settings.Kafka, i invocation) (err error) {
	payload, err := i.payload(a.stdin)
	if err != nil {
		return err
	}
	p := a.newParts(cluster)
	p.brief = true
	defer func() { err = errors.Join(err, p.close()) }()
	where := a.settings.Store
	if i.throwaway {
		data, err := os.MkdirTemp("", "sipeat-")
		if err != nil {
			return err
		}
		p.add("temporary data", func(context.Context) error { return os.RemoveAll(data) }) // after the broker's last write
		if err := p.openBroker(ctx, data, "127.0.0.1:0"); err != nil {
			return err
		}
		where = readModel(data)
	}
	handler, err := p.function(ctx, i.function, where)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()
	response, err := handler.Invoke(ctx, payload)
	if err != nil {
		return fmt.Errorf("%s failed: %w", i.function, err)
	}
	return i.show(a.stdout, response)
}

func (i invocation) payload(stdin io.Reader) ([]byte, error) {
	switch i.file {
	case "":
		return sample(i.function)
	case "-":
		return io.ReadAll(stdin)
	}
	payload, err := os.ReadFile(i.file)
	if err != nil {
		return nil, usageError{fmt.Errorf("-e: %w", err)}
	}
	return payload, nil
}

// invoker is how Lambda calls a function.
type invoker interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// function opens what the function needs, and builds it as its Lambda binary does.
func (p *parts) function(ctx context.Context, name, where string) (invoker, error) {
	endpoint := func(all []web.Function) invoker {
		for _, f := range all {
			if f.Name == name {
				noEnvironment := func(string) string { return "" } // the guards of this machine are those of its API
				return apigateway.Function(f, p.app.logger, noEnvironment)
			}
		}
		return nil
	}
	if endpoint((commands.Commands{}).Functions()) != nil {
		err := p.openPublisher()
		return endpoint(commands.Commands{Publisher: p.publisher}.Functions()), err
	}
	if err := p.openStore(ctx, where); err != nil {
		return nil, err
	}
	if query := endpoint(queries.Queries{Store: p.store, Claims: p.claims}.Functions()); query != nil {
		return query, nil
	}
	if err := p.openPublisher(); err != nil {
		return nil, err
	}
	deadLetters, err := p.openDeadLetters()
	if err != nil {
		return nil, err
	}
	notifier, err := p.app.openNotifier(ctx)
	if err != nil {
		return nil, err
	}
	all := consumers.Consumers{
		Publisher: p.publisher, Notifier: notifier, Store: p.store, Claims: p.claims, AnnouncedBy: p.app.settings.AnnouncedByProducer,
	}
	functions := all.Functions()
	f := functions[slices.IndexFunc(functions, func(f consumers.Function) bool { return f.Name == name })]
	return trigger.New(f.Consumer, all.DeadLetters(deadLetters), trigger.Options{
		Advance: p.store.Advance, Partial: p.app.settings.PartialBatches, Logger: p.app.logger,
		Delivery: bus.Options{Report: bus.Log(p.app.logger, f.Consumer.Group), GiveUpAfter: p.app.settings.Notify.RetryFor},
	}), nil
}

// show writes the response. It returns an error if the response is a failure.
func (i invocation) show(w io.Writer, response []byte) error {
	var r struct {
		Status   int               `json:"statusCode"`
		Headers  map[string]string `json:"headers"`
		Body     string            `json:"body"`
		Failures []json.RawMessage `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(response, &r); err != nil {
		return fmt.Errorf("the response of %s is not JSON: %w", i.function, err)
	}
	text := string(response)
	switch {
	case i.json:
	case r.Status != 0:
		lines := []string{strings.TrimSpace(fmt.Sprintf("%d %s", r.Status, http.StatusText(r.Status)))}
		for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
			lines = append(lines, name+": "+events.LogText(r.Headers[name]))
		}
		text = strings.Join(lines, "\n")
		if r.Body != "" {
			text += "\n\n" + indented(r.Body)
		}
	default:
		text = indented(text)
	}
	if _, err := fmt.Fprintln(w, string(events.EscapeControls([]byte(strings.TrimRight(text, "\n"))))); err != nil {
		return err
	}
	switch {
	case r.Status >= http.StatusBadRequest:
		return fmt.Errorf("%s answered %d", i.function, r.Status)
	case len(r.Failures) > 0:
		return fmt.Errorf("%s returned %s for a retry; the log says why", i.function, counted(len(r.Failures), "record"))
	}
	return nil
}

func indented(text string) string {
	var pretty bytes.Buffer
	if json.Indent(&pretty, []byte(text), "", "  ") != nil {
		return text
	}
	return pretty.String()
}
