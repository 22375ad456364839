package main

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
)

type money struct {
	Amount   int64  `json:"amount" bson:"amount"`
	Currency string `json:"currency" bson:"currency"`
}

// orderForm is the order that a customer sends. Amounts and what else staff may send are no part of it.
type orderForm struct {
	Items    []itemForm        `json:"items"`
	Shipping *address          `json:"shipping_address"`
	Billing  *address          `json:"billing_address"`
	External *string           `json:"external_number"`
	Note     *string           `json:"note"`
	Metadata map[string]string `json:"metadata"`
}

type itemForm struct {
	Product  *string `json:"product_id"`
	Quantity *int64  `json:"quantity"`
}

type address struct {
	Name       *string `json:"name" bson:"name"`
	Company    *string `json:"company" bson:"company"`
	Phone      *string `json:"phone" bson:"phone"`
	Line1      *string `json:"line1" bson:"line1"`
	Line2      *string `json:"line2" bson:"line2"`
	City       *string `json:"city" bson:"city"`
	Region     *string `json:"region" bson:"region"`
	PostalCode *string `json:"postal_code" bson:"postal_code"`
	Country    *string `json:"country" bson:"country"`
}

type fieldError struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

type fieldErrors []fieldError

func (e *fieldErrors) add(pointer, detail string) { *e = append(*e, fieldError{pointer, detail}) }

// text checks a text of so many characters, without control characters.
func (e *fieldErrors) text(pointer string, text *string, required bool, shortest, longest int, also string) {
	if text == nil {
		if required {
			e.add(pointer, "is required")
		}
		return
	}
	isControl := func(it rune) bool { return unicode.IsControl(it) && !strings.ContainsRune(also, it) }
	length := utf8.RuneCountInString(*text)
	switch {
	case length < shortest || length > longest:
		e.add(pointer, fmt.Sprintf("must have %d to %d characters; got %d", shortest, longest, length))
	case strings.TrimSpace(*text) == "":
		e.add(pointer, "must not be blank")
	case strings.ContainsFunc(*text, isControl):
		e.add(pointer, "must have no control characters")
	}
}

func (e *fieldErrors) address(pointer string, address *address) {
	e.text(pointer+"/name", address.Name, false, 1, 200, "")
	e.text(pointer+"/company", address.Company, false, 1, 200, "")
	e.text(pointer+"/phone", address.Phone, false, 3, 32, "")
	e.text(pointer+"/line1", address.Line1, true, 1, 200, "")
	e.text(pointer+"/line2", address.Line2, false, 1, 200, "")
	e.text(pointer+"/city", address.City, true, 1, 200, "")
	e.text(pointer+"/region", address.Region, false, 1, 200, "")
	e.text(pointer+"/postal_code", address.PostalCode, false, 1, 20, "")
	if address.Country == nil || !countries[*address.Country] {
		e.add(pointer+"/country", "must be an ISO 3166-1 alpha-2 code in capitals")
	}
}

// check lists every error of the form.
func (f *orderForm) check() []fieldError {
	var errors fieldErrors
	if len(f.Items) != 1 {
		errors.add("/items", "must have one item")
	}
	for place, item := range f.Items {
		pointer := "/items/" + strconv.Itoa(place)
		if item.Product == nil {
			errors.add(pointer+"/product_id", "is required")
		} else if _, err := parseTyped("product", *item.Product); err != nil {
			errors.add(pointer+"/product_id", err.Error())
		}
		if item.Quantity == nil || *item.Quantity < 1 || *item.Quantity > 10_000 {
			errors.add(pointer+"/quantity", "must be 1 to 10000")
		}
	}
	if f.Shipping == nil {
		errors.add("/shipping_address", "is required")
	} else {
		errors.address("/shipping_address", f.Shipping)
	}
	if f.Billing != nil {
		errors.address("/billing_address", f.Billing)
	}
	errors.text("/external_number", f.External, false, 1, 64, "")
	errors.text("/note", f.Note, false, 1, 2_000, "\n\t")
	for key, value := range f.Metadata {
		errors.text("/metadata", &key, false, 1, 40, "")
		errors.text("/metadata/"+key, &value, false, 1, 500, "")
	}
	return errors
}

var countries = func() map[string]bool {
	const all = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY " +
		"BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
		"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
		"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT " +
		"MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
		"SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG " +
		"UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"
	codes := map[string]bool{}
	for _, code := range strings.Fields(all) {
		codes[code] = true
	}
	return codes
}()

type entryDocument struct {
	Key   string `bson:"k"`
	Value string `bson:"v"`
}

type itemDocument struct {
	Product   bson.Binary `bson:"product_id"`
	SKU       string      `bson:"sku"`
	Name      string      `bson:"name"`
	UnitPrice int64       `bson:"unit_price"`
	Quantity  int64       `bson:"quantity"`
}

type references struct {
	Reference       *string `json:"reference" bson:"reference"`
	Method          *string `json:"method" bson:"method"`
	RefundReference *string `json:"refund_reference" bson:"refund_reference"`
}

type changeDocument struct {
	At     bson.DateTime `bson:"at"`
	From   *string       `bson:"from"`
	To     string        `bson:"to"`
	By     *bson.Binary  `bson:"by"`
	Reason *string       `bson:"reason"`
}

type placedUnder struct {
	Caller      bson.Binary `bson:"caller"`
	Key         string      `bson:"key"`
	Fingerprint bson.Binary `bson:"fingerprint"`
}

type orderDocument struct {
	ID            bson.Binary      `bson:"_id"`
	Number        string           `bson:"number"`
	User          bson.Binary      `bson:"user_id"`
	Status        string           `bson:"status"`
	Items         []itemDocument   `bson:"items"`
	Currency      string           `bson:"currency"`
	Total         int64            `bson:"total"`
	PaymentStatus string           `bson:"payment_status"`
	Shipping      address          `bson:"shipping_address"`
	Billing       *address         `bson:"billing_address"`
	ShippingCost  *struct{}        `bson:"shipping"`
	External      *string          `bson:"external_number,omitempty"`
	Note          *string          `bson:"note"`
	InternalNote  *string          `bson:"internal_note"`
	Metadata      []entryDocument  `bson:"metadata"`
	Payment       references       `bson:"payment"`
	Tracking      *struct{}        `bson:"tracking"`
	History       []changeDocument `bson:"history"`
	Tasks         []struct{}       `bson:"tasks"`
	Changing      bool             `bson:"changing"`
	PlacedUnder   *placedUnder     `bson:"placed_under,omitempty"`
	ExpiresAt     *bson.DateTime   `bson:"expires_at"`
	OpenSlot      *int64           `bson:"open_slot"`
	Version       int64            `bson:"version"`
	CreatedAt     bson.DateTime    `bson:"created_at"`
	UpdatedAt     bson.DateTime    `bson:"updated_at"`
	Writer        int32            `bson:"writer"`
}

func newOrder(
	id, user uuid, key string, print []byte, form *orderForm, held *heldProduct, writer int32,
) (*orderDocument, error) {
	product, err := parseTyped("product", held.Product)
	if err != nil {
		return nil, err
	}
	quantity := *form.Items[0].Quantity
	if held.Price.Amount > math.MaxInt64/quantity {
		return nil, &problem{status: 422, Title: "the total is too large"}
	}
	metadata := make([]entryDocument, 0, len(form.Metadata))
	for key, value := range form.Metadata {
		metadata = append(metadata, entryDocument{key, value})
	}
	sort.Slice(metadata, func(a, b int) bool { return metadata[a].Key < metadata[b].Key })
	now := time.Now()
	at, expires, by := millis(now), millis(now.Add(time.Hour)), user.binary()
	status := "unpaid"
	total := held.Price.Amount * quantity
	if total == 0 {
		status = "paid"
	}
	return &orderDocument{
		ID: id.binary(), Number: number(), User: user.binary(), Status: "placed",
		Items:    []itemDocument{{product.binary(), held.SKU, held.Name, held.Price.Amount, quantity}},
		Currency: held.Price.Currency, Total: total, PaymentStatus: status,
		Shipping: *form.Shipping, Billing: form.Billing, External: form.External, Note: form.Note, Metadata: metadata,
		History: []changeDocument{{At: at, To: "placed", By: &by}}, Tasks: []struct{}{},
		PlacedUnder: &placedUnder{user.binary(), key, bson.Binary{Data: print}},
		ExpiresAt:   &expires, Version: 1, CreatedAt: at, UpdatedAt: at, Writer: writer,
	}, nil
}

type itemView struct {
	ID        string     `json:"id"`
	Product   string     `json:"product_id"`
	SKU       string     `json:"sku"`
	Name      string     `json:"name"`
	UnitPrice money      `json:"unit_price"`
	Quantity  int64      `json:"quantity"`
	Discounts []struct{} `json:"discounts"`
	Taxes     []struct{} `json:"taxes"`
	Total     money      `json:"total"`
	Refunded  int64      `json:"refunded"`
}

type totalsView struct {
	Items       int64 `json:"items"`
	Discounts   int64 `json:"discounts"`
	Shipping    int64 `json:"shipping"`
	Tax         int64 `json:"tax"`
	TaxIncluded int64 `json:"tax_included"`
	Total       int64 `json:"total"`
	Cancelled   int64 `json:"cancelled"`
	Paid        int64 `json:"paid"`
	Refunded    int64 `json:"refunded"`
	Due         int64 `json:"due"`
	RefundDue   int64 `json:"refund_due"`
}

type changeView struct {
	At      string  `json:"at"`
	Event   string  `json:"event"`
	From    *string `json:"from"`
	To      *string `json:"to"`
	By      string  `json:"by"`
	Reason  *string `json:"reason"`
	Subject *string `json:"subject"`
}

type trackingView struct {
	Carrier *string `json:"carrier"`
	Number  *string `json:"number"`
}

type orderView struct {
	ID            string            `json:"id"`
	Number        string            `json:"number"`
	User          string            `json:"user_id"`
	Status        string            `json:"status"`
	Items         []itemView        `json:"items"`
	Total         money             `json:"total"`
	Shipping      address           `json:"shipping_address"`
	Billing       *address          `json:"billing_address"`
	ShippingCost  *struct{}         `json:"shipping"`
	External      *string           `json:"external_number"`
	Note          *string           `json:"note"`
	Metadata      map[string]string `json:"metadata"`
	Totals        totalsView        `json:"totals"`
	PaymentStatus string            `json:"payment_status"`
	Payments      []struct{}        `json:"payments"`
	Refunds       []struct{}        `json:"refunds"`
	Payment       references        `json:"payment"`
	Tracking      trackingView      `json:"tracking"`
	History       []changeView      `json:"history"`
	ExpiresAt     *string           `json:"expires_at"`
	Version       int64             `json:"version"`
	CreatedAt     string            `json:"created_at"`
	UpdatedAt     string            `json:"updated_at"`
}

func written(at bson.DateTime) string { return at.Time().UTC().Format("2006-01-02T15:04:05.000Z") }

// view is the order as its customer sees it.
func (o *orderDocument) view() *orderView {
	none := []struct{}{}
	id := uuidOf(o.ID)
	view := &orderView{
		ID: id.typed("order"), Number: o.Number, User: uuidOf(o.User).typed("user"), Status: o.Status,
		Total: money{o.Total, o.Currency}, Shipping: o.Shipping, Billing: o.Billing, External: o.External, Note: o.Note,
		Metadata: map[string]string{}, Totals: totalsView{Items: o.Total, Total: o.Total, Due: o.Total},
		PaymentStatus: o.PaymentStatus, Payments: none, Refunds: none, Payment: o.Payment,
		Version: o.Version, CreatedAt: written(o.CreatedAt), UpdatedAt: written(o.UpdatedAt),
	}
	for _, item := range o.Items {
		product := uuidOf(item.Product)
		itemID := derived([]byte("item "), id[:], []byte("product"), product[:])
		view.Items = append(view.Items, itemView{
			ID: itemID.typed("item"), Product: product.typed("product"), SKU: item.SKU, Name: item.Name,
			UnitPrice: money{item.UnitPrice, o.Currency}, Quantity: item.Quantity, Discounts: none, Taxes: none,
			Total: money{item.UnitPrice * item.Quantity, o.Currency},
		})
	}
	for _, entry := range o.Metadata {
		view.Metadata[entry.Key] = entry.Value
	}
	for _, change := range o.History {
		by := "system"
		if change.By != nil && uuidOf(*change.By) == uuidOf(o.User) {
			by = uuidOf(*change.By).typed("user")
		} else if change.By != nil {
			by = "staff"
		}
		view.History = append(view.History, changeView{
			At: written(change.At), Event: "status", From: change.From, To: &change.To, By: by, Reason: change.Reason,
		})
	}
	if o.ExpiresAt != nil {
		expires := written(*o.ExpiresAt)
		view.ExpiresAt = &expires
	}
	return view
}
