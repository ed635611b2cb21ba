// Package lambda tests the binaries that are deployed, against the Runtime API of AWS Lambda.
package lambda

import (
	"testing"

	"github.com/sipeat/sipeat/shared/cli/clitest"
)

func TestMain(m *testing.M) { clitest.Main(m) }
