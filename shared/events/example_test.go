package events_test

import (
	"errors"
	"fmt"

	"github.com/sipeat/sipeat/shared/events"
)

// A payload becomes an event: checked, with ids, times and producer.
func ExampleNew() {
	event, err := events.New(events.ContactCreated{Contact: events.Contact{
		Name: "Ada Lovelace", Email: "ada@example.com", Phone: "+44 20 7946 0958", Message: "We would like a machine.",
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(event.Topic(), event.Data.Name, event.Key() == event.Data.ID)
	// Output: contact-created Ada Lovelace true
}

// Unacceptable values are one error with every faulty field.
func ExampleNew_invalid() {
	_, err := events.New(events.RequestCreated{Request: events.Request{
		Name: "Grace Hopper", Email: "grace", Phone: "+1 212 555 0142", Address: "1 Harbor Way", City: "New York", Country: "USA",
		DrinksList: []string{"Espresso", " "},
	}})
	var invalid *events.Error
	if errors.As(err, &invalid) {
		for _, f := range invalid.Fields {
			fmt.Println(f.Pointer, f.Detail)
		}
	}
	// Output:
	// /email must be one e-mail address, such as ada@example.com, and nothing else
	// /drinksList/1 is blank: it needs visible characters
}

// A record's value becomes an event, whichever program wrote it.
func ExampleDecode() {
	record := []byte(`{"eventId":"1719400000000-k3j2h1xyz","eventType":"contact-created",
		"data":{"id":"c-1","name":"Ada Lovelace","email":"","timestamp":"2026-11-23T06:54:21.123Z"},
		"metadata":{"timestamp":"2026-11-23T06:54:21.123Z","producer":"sipeat-app"}}`)
	event, err := events.Decode[events.ContactCreated](record)
	fmt.Println(event.ID, event.Data.Name, event.Metadata.Producer, err)

	_, err = events.Decode[events.MachineCreated](record)
	fmt.Println(err)
	// Output:
	// 1719400000000-k3j2h1xyz Ada Lovelace sipeat-app <nil>
	// the eventType is not the topic's, which is machine-created: not understood
}
