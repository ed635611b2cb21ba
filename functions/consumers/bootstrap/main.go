// The consumers on AWS Lambda behind event source mappings of Kafka; _HANDLER selects the function.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bootstrap"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/notify/ses"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/trigger"
)

func main() {
	bootstrap.Start([]string{"KAFKA_BROKERS", "TABLE_NAME"}, open)
}

func open(s settings.Settings, logger *slog.Logger) (bootstrap.Functions, error) {
	cfg, err := dynamodb.FromEnvironment(os.Getenv)
	if err != nil {
		return nil, err
	}
	openSES := func(c notify.Composer) (notify.Notifier, error) {
		mail := cfg
		mail.BaseEndpoint = nil // that of DynamoDB
		return ses.New(c, mail), nil
	}
	table, tableErr := dynamodb.Open(cfg, s.Table)
	claims, claimsErr := dynamodb.OpenClaims(cfg, s.ClaimsTable, time.Now)
	notifier, notifierErr := notify.New(s.Notify, notify.Options{Logger: logger, SES: openSES})
	publisher, publisherErr := kafka.NewPublisher(s.Brokers, logger)
	deadLetters, deadLettersErr := kafka.NewDeadLetters(s.Brokers, logger)
	if err := errors.Join(tableErr, claimsErr, notifierErr, publisherErr, deadLettersErr); err != nil {
		return nil, err
	}
	held := func(ctx context.Context, topic string) (map[int32]int64, error) {
		marks, err := table.Marks(ctx)
		return marks.Held(topic), err
	}
	functions := bootstrap.Functions{}
	all := consumers.Consumers{
		Publisher: publisher, Notifier: notifier, Store: consumers.Projected(table), Claims: claims,
		AnnouncedBy: s.AnnouncedByProducer,
	}
	for _, f := range all.Functions() {
		functions[f.Name] = trigger.New(f.Consumer, all.DeadLetters(deadLetters), trigger.Options{
			Advance: kafka.BridgeGaps(s.Brokers, held, table.Advance), Partial: s.PartialBatches, Logger: logger,
			Delivery: bus.Options{Report: bus.Log(logger, f.Consumer.Group, slog.LevelDebug), GiveUpAfter: s.Notify.RetryFor},
		})
	}
	return functions, nil
}
