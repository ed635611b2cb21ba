package trigger_test

import (
	"context"
	"fmt"
	"os"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trigger"
)

// A bootstrap gives the handler to lambda.Start; any payload can be passed to it.
func Example() {
	greet := func(_ context.Context, e events.Event[events.ContactCreated]) error {
		fmt.Println("hello,", e.Data.Name)
		return nil
	}
	handler := trigger.New(bus.NewConsumer("greeters", greet), nil, trigger.Options{Partial: true})

	payload, err := os.ReadFile("../../functions/testdata/contact-created.json")
	if err != nil {
		fmt.Println(err)
	}
	answer, err := handler.Invoke(context.Background(), payload)
	fmt.Println(string(answer), err)
	// Output:
	// hello, Ada Lovelace
	// {"batchItemFailures":[]} <nil>
}
