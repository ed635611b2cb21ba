package events

// Contact is what somebody leaves who wants to be called back.
type Contact struct {
	Name            string `json:"name" validate:"text,max=200"`
	Email           string `json:"email" validate:"address"`
	Phone           string `json:"phone" validate:"phone"`
	Message         string `json:"message" validate:"prose,max=4000"`
	CompanyName     string `json:"companyName,omitempty" validate:"omitempty,text,max=200"`
	MachineLocation string `json:"machineLocation,omitempty" validate:"omitempty,prose,max=400"`
}

// ContactCreated says that somebody left their contact.
type ContactCreated struct {
	Base
	Contact
}

func (ContactCreated) Topic() string { return "contact-created" }
