package trigger

import (
	"fmt"
	"strings"
)

// Response names the records of a batch that AWS has to retry: of each partition the first that is not handled and all after
// it. It names none that was not in the batch, because AWS treats that as a failure of the whole batch. On success the list is
// empty, not null or missing.
//
// AWS reads it only for a mapping with ReportBatchItemFailures, which Kafka has in provisioned mode
// (https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html). For any other mapping every answer is a
// success.
type Response struct {
	Failures []Failure `json:"batchItemFailures"`
}

// Failure is a record to retry.
type Failure struct {
	Record Identifier `json:"itemIdentifier"`
}

// Identifier is where a record is; Partition is "<topic>-<number>".
type Identifier struct {
	Partition string `json:"partition"`
	Offset    int64  `json:"offset"`
}

// RetryError fails an invocation with records to retry where AWS reads no [Response]: the whole batch is retried.
type RetryError struct {
	Response Response
	Records  int // of the batch
}

// Error names the partitions with the first record of each to retry.
func (e *RetryError) Error() string {
	var first []string
	last := ""
	for _, f := range e.Response.Failures {
		if f.Record.Partition != last {
			last = f.Record.Partition
			first = append(first, fmt.Sprintf("%s from offset %d", last, f.Record.Offset))
		}
	}
	return fmt.Sprintf("%d of %d records are not handled and must be retried: %s; the log line of an event gives its reason, "+
		"and an event without one was not reached in time",
		len(e.Response.Failures), e.Records, strings.Join(first, ", "))
}
