package trigger

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/sipeat/sipeat/shared/bus"
)

// Response names the records of a batch that AWS has to retry. [Handler] makes it from the records of the batch, because AWS
// takes a name that was not in the batch as a failure of all of it. The zero value means success.
//
// AWS reads it only for a mapping with ReportBatchItemFailures, which Kafka has in provisioned mode
// (https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html). For any other mapping every answer is a
// success.
type Response struct {
	givenBack []bus.Position
}

// GivenBack lists the records to retry: of each partition the first that is not handled and all after it.
func (r Response) GivenBack() []bus.Position { return append([]bus.Position(nil), r.givenBack...) }

// MarshalJSON returns the response in AWS's form. On success its list is empty, not null or missing.
func (r Response) MarshalJSON() ([]byte, error) {
	type identifier struct {
		Partition string `json:"partition"`
		Offset    int64  `json:"offset"`
	}
	type failure struct {
		Identifier identifier `json:"itemIdentifier"`
	}
	var out struct {
		Failures []failure `json:"batchItemFailures"`
	}
	for _, p := range r.givenBack {
		out.Failures = append(out.Failures, failure{identifier{listName(p.Topic, p.Partition), p.Offset}})
	}
	return json.Marshal(out)
}

// GivenBackError fails an invocation with records to retry where AWS reads no [Response]: the whole batch is retried.
type GivenBackError struct {
	Response Response
	Records  int // of the batch

	parts []part
}

// part is what is given back of one partition.
type part struct {
	first  bus.Position
	n      int
	reason error // nil = there was no time
}

// Error names each partition's first record that is not handled, how many there are, and why, without payload.
func (e *GivenBackError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d records are not handled and must be retried", len(e.Response.givenBack), e.Records)
	for i, p := range e.parts {
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		fmt.Fprintf(&b, "%d of %s from offset %d, ", p.n, listName(p.first.Topic, p.first.Partition), p.first.Offset)
		if p.reason == nil {
			b.WriteString("for lack of time")
		} else {
			fmt.Fprintf(&b, "because of %q", p.reason.Error())
		}
	}
	return b.String()
}
