// Package lambda tests the binaries that are deployed, against the Runtime API of AWS Lambda.
package lambda

import (
	"testing"

	"github.com/sipeat/sipeat/shared/proof/program"
)

func TestMain(m *testing.M) { program.Main(m) }
