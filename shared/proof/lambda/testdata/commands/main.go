// create-contact as one would write it by hand, with the same clients.
package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

type contact struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Email     string    `json:"email"`
	Phone     string    `json:"phone"`
	Message   string    `json:"message"`
	Timestamp time.Time `json:"timestamp"`
}

type event struct {
	ID       string  `json:"eventId"`
	Type     string  `json:"eventType"`
	Data     contact `json:"data"`
	Metadata struct {
		Timestamp time.Time `json:"timestamp"`
		Producer  string    `json:"producer"`
	} `json:"metadata"`
}

func main() {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("KAFKA_BROKERS"), ",")...),
		kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		panic(err)
	}
	lambda.Start(func(ctx context.Context, r events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		var c contact
		if err := json.Unmarshal([]byte(r.Body), &c); err != nil || c.Name == "" || c.Email == "" {
			return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusBadRequest}, nil
		}
		c.ID, c.Timestamp = uuid.NewString(), time.Now()
		e := event{ID: uuid.NewString(), Type: "contact-created", Data: c}
		e.Metadata.Timestamp, e.Metadata.Producer = time.Now(), "by-hand"
		value, err := json.Marshal(e)
		if err != nil {
			return events.APIGatewayV2HTTPResponse{}, err
		}
		record := &kgo.Record{Topic: "contact-created", Key: []byte(c.ID), Value: value}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusServiceUnavailable}, nil
		}
		body, err := json.Marshal(map[string]any{"id": c.ID, "eventId": e.ID, "partition": record.Partition, "offset": record.Offset})
		return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusAccepted, Body: string(body)}, err
	})
}
