package clitest

import "testing"

func TestMain(m *testing.M) {
	besideIfAsked()
	Main(m)
}
