package bench

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/uuid"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/stretchr/testify/require"
)

// BenchmarkUnits counts the requests and write units that an event of each type takes in its consumer, as DynamoDB Local reports
// them. "notification" is one that one channel delivers; each of the other events causes one. "$/million" is what a million
// events cost at $0.625 a million write units, the price on demand in us-east-1
// (https://aws.amazon.com/dynamodb/pricing/on-demand/). It needs DYNAMODB_ENDPOINT.
//
//	go test ./shared/proof/bench -run '^$' -bench Units -benchtime 20x
func BenchmarkUnits(b *testing.B) {
	cfg, err := dynamodb.FromEnvironment(os.Getenv)
	if err != nil || os.Getenv("DYNAMODB_ENDPOINT") == "" {
		b.Skip("set DYNAMODB_ENDPOINT to a DynamoDB Local, such as http://127.0.0.1:8000")
	}
	bill := &bill{}
	table := "bench-" + uuid.NewString()
	counted := cfg.Copy()
	counted.APIOptions = append(counted.APIOptions, bill.count)
	model, err := dynamodb.Open(counted, table)
	require.NoError(b, err)
	require.NoError(b, model.Create(b.Context()))
	claims, err := dynamodb.OpenClaims(counted, table+"-claims", time.Now)
	require.NoError(b, err)
	require.NoError(b, claims.Create(b.Context()))
	all := consumers.Consumers{Publisher: nowhere{}, Store: model, Claims: claims,
		Notifier: notify.Channels{{Name: "log", Notifier: nowhere{}}}}.Functions()
	for name, event := range map[string]func() events.Any{
		"contact-created": func() events.Any {
			return made(b, events.ContactCreated{Contact: events.Contact{Name: "Ada Lovelace", Email: "ada@example.com",
				Phone: "+44 20 7946 0958", Message: "A machine, please."}})
		},
		"machine-created": func() events.Any {
			return made(b, events.MachineCreated{Machine: events.Machine{Name: "Hall 3", Address: "Platz 1", City: "Berlin",
				Country: "Germany", ContactName: "Grace", ContactEmail: "grace@example.com", ContactPhone: "+49 30 1234567"}})
		},
		"request-created": func() events.Any {
			return made(b, events.RequestCreated{Request: events.Request{Name: "Alan", Email: "alan@example.com",
				Phone: "+44 1908 640404", Address: "Bletchley Park", City: "Berlin", Country: "UK", DrinksList: []string{"Mate", "Tea"}}})
		},
		"notification": func() events.Any {
			return made(b, events.Notification{Notice: events.Notice{Type: "contact", Message: "New contact: Ada Lovelace",
				SubjectID: uuid.NewString()}})
		},
	} {
		var consumer bus.Consumer
		for _, f := range all {
			if f.Name == name {
				consumer = f.Consumer
			}
		}
		b.Run(name, func(b *testing.B) {
			try := func() {
				value, err := event().Encode()
				require.NoError(b, err)
				require.NoError(b, consumer.Try(b.Context(), bus.Record{Topic: name, Value: value, Timestamp: time.Now()}))
			}
			try() // the first time of a drink costs its index, too
			bill.requests, bill.units = 0, 0
			n := 0
			for ; b.Loop(); n++ {
				try()
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(bill.requests)/float64(n), "requests/event")
			b.ReportMetric(bill.units/float64(n), "write-units/event")
			b.ReportMetric(bill.units/float64(n)*0.625, "$/million")
		})
	}
}

func made[T events.Payload](b *testing.B, payload T) events.Any {
	e, err := events.New(payload)
	require.NoError(b, err)
	return e
}

// nowhere publishes and notifies nothing.
type nowhere struct{}

func (nowhere) Publish(context.Context, events.Any) (bus.Position, error) { return bus.Position{}, nil }
func (nowhere) Notify(context.Context, notify.Message) error              { return nil }

// bill adds up what requests consume.
type bill struct {
	mu       sync.Mutex
	requests int
	units    float64
}

// count asks for the consumed capacity of each write.
func (c *bill) count(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("bill", func(ctx context.Context, in middleware.InitializeInput,
		next middleware.InitializeHandler) (out middleware.InitializeOutput, metadata middleware.Metadata, err error) {
		switch request := in.Parameters.(type) {
		case *sdk.PutItemInput:
			request.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
		case *sdk.UpdateItemInput:
			request.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
		case *sdk.TransactWriteItemsInput:
			request.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
		}
		out, metadata, err = next.HandleInitialize(ctx, in)
		var consumed []types.ConsumedCapacity
		add := func(capacity *types.ConsumedCapacity) {
			if capacity != nil {
				consumed = append(consumed, *capacity)
			}
		}
		switch answer := out.Result.(type) {
		case *sdk.PutItemOutput:
			add(answer.ConsumedCapacity)
		case *sdk.UpdateItemOutput:
			add(answer.ConsumedCapacity)
		case *sdk.TransactWriteItemsOutput:
			consumed = answer.ConsumedCapacity
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.requests++
		for _, capacity := range consumed {
			c.units += *capacity.CapacityUnits
		}
		return out, metadata, err
	}), middleware.After)
}
