package cli

import (
	"context"
	"fmt"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/spf13/cobra"
)

// serverHelp is what `sipeat api` and `sipeat worker` have in common.
const serverHelp = "" +
	"It exits with status 1 if no broker can be reached or all reject its credentials, or if a topic or permission is\n" +
	"missing, and with 2 if settings are wrong. Later failures are retried and logged. SIGTERM or Ctrl-C finishes the\n" +
	"work in progress, within 8 s, and exits with status 0.\n\n" + kafkaHelp

func (a *app) apiCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "api",
		Short: "Run the API on any Kafka and read model",
		Long: "Run the API: POST publishes to Kafka, GET reads the read model that `sipeat worker` fills. Any number of APIs may\n" +
			"run. When it is ready, it prints this line first: ready http=http://HOST:PORT\n\n" + serverHelp,
		Example: "  sipeat api\n" +
			"  STORE=/var/lib/sipeat/read-model.db sipeat api --http 127.0.0.1:8081 --brokers kafka1:9092,kafka2:9092",
		Args:        cobra.NoArgs,
		Annotations: server,
		RunE:        func(c *cobra.Command, _ []string) error { return a.runServer(c.Context(), (*parts).api) },
	}
	addFlags(c, "http", "brokers")
	return c
}

func (p *parts) api(ctx context.Context) error {
	listener, err := p.listenAPI()
	if err != nil {
		return err
	}
	if err := p.reach(ctx, kafka.Requirements{Write: topicNames()}); err != nil {
		return err
	}
	if err := p.open(ctx, p.settings.Store); err != nil {
		return err
	}
	url := p.startAPI(listener, p.settings.Web)
	fmt.Fprintf(p.stdout, "ready http=%s\n\n", url)
	printEndpoints(p.stdout)
	fmt.Fprintf(p.stdout, "\nThe read model is %s. %s", p.storeName(), tryLine(url))
	p.logCallers()
	return nil
}
