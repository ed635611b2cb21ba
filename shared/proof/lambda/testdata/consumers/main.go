// The consumers' binary as one would write it by hand, with the same clients: that of contact-created, and SES for where mail is
// sent.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	mail "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

type event struct {
	ID   string `json:"eventId"`
	Data struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"data"`
}

func main() {
	producer, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("KAFKA_BROKERS"), ",")...),
		kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		panic(err)
	}
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{
			AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
		}, nil
	})
	table := dynamodb.New(dynamodb.Options{Region: os.Getenv("AWS_REGION"), Credentials: credentials})
	tell := func(context.Context, string) error { return nil }
	if strings.Contains(os.Getenv("NOTIFY"), "ses") {
		client := sesv2.New(sesv2.Options{Region: os.Getenv("AWS_REGION"), Credentials: credentials})
		tell = func(ctx context.Context, text string) error {
			_, err := client.SendEmail(ctx, &sesv2.SendEmailInput{
				FromEmailAddress: aws.String(os.Getenv("NOTIFY_FROM")), Destination: &mail.Destination{ToAddresses: []string{os.Getenv("NOTIFY_TO")}},
				Content: &mail.EmailContent{Simple: &mail.Message{
					Subject: &mail.Content{Data: aws.String("SipEat")}, Body: &mail.Body{Text: &mail.Content{Data: aws.String(text)}},
				}},
			})
			return err
		}
	}
	lambda.Start(func(ctx context.Context, batch events.KafkaEvent) error {
		for _, records := range batch.Records {
			for _, r := range records {
				value, err := base64.StdEncoding.DecodeString(r.Value)
				if err != nil {
					return err
				}
				var e event
				if err := json.Unmarshal(value, &e); err != nil {
					return err
				}
				if _, err := table.PutItem(ctx, &dynamodb.PutItemInput{
					TableName: aws.String(os.Getenv("TABLE_NAME")),
					Item: map[string]types.AttributeValue{
						"pk": &types.AttributeValueMemberS{Value: "item/contact-created/" + e.Data.ID}, "data": &types.AttributeValueMemberS{Value: string(value)},
					},
				}); err != nil {
					return err
				}
				if err := tell(ctx, e.Data.Name); err != nil {
					return err
				}
				told, err := json.Marshal(map[string]any{"eventId": uuid.NewString(), "eventType": "notification", "data": map[string]string{"message": e.Data.Name}})
				if err != nil {
					return err
				}
				if err := producer.ProduceSync(ctx, &kgo.Record{Topic: "notification", Value: told}).FirstErr(); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
