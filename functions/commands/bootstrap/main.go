// The commands on AWS Lambda behind an HTTP API; _HANDLER selects the function.
package main

import (
	"log/slog"
	"os"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/shared/bootstrap"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web/apigateway"
)

func main() { bootstrap.Start([]string{"KAFKA_BROKERS"}, open) }

func open(s settings.Settings, logger *slog.Logger) (bootstrap.Functions, error) {
	publisher, err := kafka.NewPublisher(s.Brokers, logger) // it dials at the first invocation
	if err != nil {
		return nil, err
	}
	functions := bootstrap.Functions{}
	for _, f := range (commands.Commands{Publisher: publisher}).Functions() {
		functions[f.Name] = apigateway.Function(f, logger, os.Getenv)
	}
	return functions, nil
}
