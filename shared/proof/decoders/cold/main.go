// Command cold decodes each of the four events once with one candidate and says what the first and the second decode
// of each cost: what a cold Lambda pays. One candidate per binary, by build tag: go run -tags goccy ./cold
// Without a tag it links no decoder, and is what sizes and init times are compared with.
package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

type stamp struct{ T time.Time }

func (t *stamp) UnmarshalText(b []byte) (err error) {
	t.T, err = time.Parse(time.RFC3339, string(b))
	return err
}

type metadata struct {
	Timestamp     stamp  `json:"timestamp"`
	Producer      string `json:"producer"`
	CorrelationID string `json:"correlationId,omitempty"`
	CausationID   string `json:"causationId,omitempty"`
}

type event[T any] struct {
	ID       string   `json:"eventId"`
	Type     string   `json:"eventType"`
	Data     T        `json:"data"`
	Metadata metadata `json:"metadata"`
}

type contact struct {
	ID              string `json:"id"`
	Name            string `json:"name"`
	Email           string `json:"email"`
	Phone           string `json:"phone"`
	Message         string `json:"message"`
	CompanyName     string `json:"companyName,omitempty"`
	MachineLocation string `json:"machineLocation,omitempty"`
	Timestamp       stamp  `json:"timestamp"`
}

type machine struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Address      string `json:"address"`
	City         string `json:"city"`
	Country      string `json:"country"`
	ContactName  string `json:"contactName"`
	ContactEmail string `json:"contactEmail"`
	ContactPhone string `json:"contactPhone"`
	Timestamp    stamp  `json:"timestamp"`
}

type request struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Email      string   `json:"email"`
	Phone      string   `json:"phone"`
	Address    string   `json:"address"`
	City       string   `json:"city"`
	Country    string   `json:"country"`
	DrinksList []string `json:"drinksList"`
	MachineID  string   `json:"machineId,omitempty"`
	Timestamp  stamp    `json:"timestamp"`
}

type notification struct {
	ID             string `json:"id,omitempty"`
	Type           string `json:"type"`
	Message        string `json:"message"`
	RecipientEmail string `json:"recipientEmail,omitempty"`
	SubjectID      string `json:"subjectId,omitempty"`
	Timestamp      stamp  `json:"timestamp"`
}

const sample = `{"eventId":"e","eventType":"t","data":{"id":"i","name":"José \"n\"","email":"a@example.org","drinksList":["Espresso"],"message":"m","timestamp":"2026-11-23T06:54:21.123Z"},"metadata":{"timestamp":"2026-11-23T06:54:21.124Z","producer":"sipeat-api"}}`

func main() {
	if len(os.Args) > 1 { // race: each type is first used by 32 goroutines at once
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range 128 {
			wg.Go(func() {
				<-start
				decode(i % 4)
			})
		}
		close(start)
		wg.Wait()
		return
	}
	var first [2]time.Duration
	for pass := range first {
		for i := range 4 {
			t := time.Now()
			decode(i)
			first[pass] += time.Since(t)
		}
	}
	fmt.Printf("four decodes: first %d us, again %d us\n", first[0].Microseconds(), first[1].Microseconds())
}

func decode(i int) {
	switch i {
	case 0:
		check[contact]()
	case 1:
		check[machine]()
	case 2:
		check[request]()
	case 3:
		check[notification]()
	}
}

func check[T any]() {
	var e event[T]
	if err := unmarshal([]byte(sample), &e); err != nil || e.Metadata.Producer != "sipeat-api" && linked {
		fmt.Println(err, e)
		os.Exit(1)
	}
}
