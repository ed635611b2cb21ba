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
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/apigateway"
	"github.com/spf13/cobra"
)

// invocation is one call of one function.
type invocation struct {
	function, file string
	timeout        time.Duration
	throwaway, raw bool
}

func (a *app) invokeCommand() *cobra.Command {
	var i invocation
	var brokers string
	c := &cobra.Command{
		Use:   "invoke FUNCTION",
		Short: "Run one function on what AWS would send it, in this process",
		Long: "Run one function as Lambda does, without Lambda: on its sample, or on the payload of a file. It works on\n" +
			"the Kafka and the read model of the settings, those of `sipeat serve` among them, or with --throwaway\n" +
			"on ones of its own that are gone afterwards.\n\n" +
			"The answer is on standard output: of an endpoint the status, the headers and the body, of a consumer what\n" +
			"Lambda would hear. The exit status is 1 if the function fails, answers 400 or more, or gives records back.\n\n" + functionsHelp(),
		Example: "  sipeat invoke create-contact --throwaway\n" +
			"  sipeat invoke get-demand -e functions/testdata/get-demand.json\n" +
			"  sipeat sample request-created --records 100 --bad json | sipeat invoke request-created -e -",
		Args:      oneFunction,
		ValidArgs: functionNames(),
		RunE: func(c *cobra.Command, args []string) error {
			cluster, err := a.cluster(brokers)
			switch {
			case err != nil:
				return err
			case i.timeout <= 0:
				return usageError{fmt.Errorf("--timeout: %v is no time to work in; for example 30s", i.timeout)}
			case i.throwaway && brokers != "":
				return usageError{errors.New("--throwaway has a broker of its own: give it or --brokers")}
			}
			i.function = args[0]
			return a.invoke(c.Context(), cluster, i)
		},
	}
	c.Flags().StringVarP(&i.file, "event", "e", "", "the file of the payload, - for standard input; by default the function's sample")
	c.Flags().DurationVar(&i.timeout, "timeout", 30*time.Second, "how long the function has")
	c.Flags().BoolVar(&i.throwaway, "throwaway", false, "on a broker and a read model of its own, gone afterwards")
	c.Flags().BoolVar(&i.raw, "json", false, "write the answer as Lambda would hear it, on one line")
	c.Flags().StringVar(&brokers, "brokers", "", brokersUsage)
	return c
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
		p.add("throwaway data", func(context.Context) error { return os.RemoveAll(data) }) // once the broker has written its last into it
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
	answer, err := handler.Invoke(ctx, payload)
	if err != nil {
		return fmt.Errorf("%s failed: %w", i.function, err)
	}
	return i.show(a.stdout, answer)
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

// invoker is what Lambda calls a function by.
type invoker interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// onAWS is the environment of an endpoint: what this machine's says of who may call is for its API.
func onAWS(string) string { return "" }

// function opens what the function stands on, and makes it as its Lambda binary does.
func (p *parts) function(ctx context.Context, name, where string) (invoker, error) {
	named := func(f web.Function) bool { return f.Name == name }
	if all := (commands.Commands{}).Functions(); slices.ContainsFunc(all, named) {
		if err := p.openPublisher(); err != nil {
			return nil, err
		}
		all = commands.Commands{Publisher: p.publisher}.Functions()
		return apigateway.Function(all[slices.IndexFunc(all, named)], p.app.logger, onAWS), nil
	}
	if err := p.openStore(ctx, where); err != nil {
		return nil, err
	}
	if all := (queries.Queries{Store: p.store, Claims: p.claims}).Functions(); slices.ContainsFunc(all, named) {
		return apigateway.Function(all[slices.IndexFunc(all, named)], p.app.logger, onAWS), nil
	}
	if err := p.openPublisher(); err != nil {
		return nil, err
	}
	letters, err := p.openDeadLetters()
	if err != nil {
		return nil, err
	}
	notifier, err := p.app.openNotifier(ctx)
	if err != nil {
		return nil, err
	}
	all := consumers.Consumers{Publisher: p.publisher, Notifier: notifier, Store: p.store, Claims: p.claims, AnnouncedBy: p.app.settings.AnnouncedByProducer}
	for _, f := range all.Functions() {
		if f.Name == name {
			return trigger.New(f.Consumer, all.DeadLetters(letters), trigger.Options{
				Advance: p.store.Advance, Partial: p.app.settings.PartialBatches, Logger: p.app.logger,
				Delivery: bus.Options{Report: bus.Log(p.app.logger, f.Consumer.Group), GiveUpAfter: p.app.settings.Notify.RetryFor},
			}), nil
		}
	}
	return nil, fmt.Errorf("there is no function %q", name)
}

// show writes the answer, for people unless it shall be raw, and says by its error whether it is a failure.
func (i invocation) show(w io.Writer, answer []byte) error {
	var said struct {
		Status   int               `json:"statusCode"`
		Headers  map[string]string `json:"headers"`
		Body     string            `json:"body"`
		Failures []json.RawMessage `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return fmt.Errorf("%s answered what is no JSON: %w", i.function, err)
	}
	text := string(answer)
	switch {
	case i.raw:
	case said.Status != 0:
		lines := []string{strings.TrimSpace(fmt.Sprintf("%d %s", said.Status, http.StatusText(said.Status)))}
		for _, name := range slices.Sorted(maps.Keys(said.Headers)) {
			lines = append(lines, name+": "+said.Headers[name])
		}
		text = strings.Join(lines, "\n")
		if said.Body != "" {
			text += "\n\n" + indented(said.Body)
		}
	default:
		text = indented(text)
	}
	if _, err := fmt.Fprintln(w, strings.TrimRight(text, "\n")); err != nil {
		return err
	}
	switch {
	case said.Status >= http.StatusBadRequest:
		return fmt.Errorf("%s answered %d", i.function, said.Status)
	case len(said.Failures) > 0:
		return fmt.Errorf("%s gave %d records back: the log says why", i.function, len(said.Failures))
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
