// The queries on AWS Lambda behind an HTTP API; _HANDLER selects the function.
package main

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/bootstrap"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/web/apigateway"
)

func main() { bootstrap.Start([]string{"TABLE_NAME"}, open) }

func open(s settings.Settings, logger *slog.Logger) (bootstrap.Functions, error) {
	cfg, err := dynamodb.FromEnvironment(os.Getenv)
	if err != nil {
		return nil, err
	}
	table, tableErr := dynamodb.Open(cfg, s.Table)
	claims, claimsErr := dynamodb.OpenClaims(cfg, s.ClaimsTable, time.Now)
	if err := errors.Join(tableErr, claimsErr); err != nil {
		return nil, err
	}
	functions := bootstrap.Functions{}
	for _, f := range (queries.Queries{Store: table, Claims: claims}).Functions() {
		functions[f.Name] = apigateway.Function(f, logger, os.Getenv)
	}
	return functions, nil
}
