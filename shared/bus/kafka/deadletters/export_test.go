package deadletters

import "time"

// SetTransactionTimeout sets it until the returned function is called.
func SetTransactionTimeout(d time.Duration) (restore func()) {
	before := transactionTimeout
	transactionTimeout = d
	return func() { transactionTimeout = before }
}
