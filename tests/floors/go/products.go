package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	// keptMarks is the number of marks that a stock keeps.
	keptMarks = 256
	// foldAt is the number of entries by which a journal becomes long.
	foldAt = 32
)

// holdRequest declares what an order holds.
type holdRequest struct {
	Order    string `json:"order_id"`
	Revision int64  `json:"revision"`
	Items    []struct {
		Product  string `json:"product_id"`
		Quantity int64  `json:"quantity"`
	} `json:"items"`
}

// holdAnswer has the products as they are held.
type holdAnswer struct {
	Products []heldProduct `json:"products"`
}

type heldProduct struct {
	Product string `json:"product_id"`
	SKU     string `json:"sku"`
	Name    string `json:"name"`
	Price   money  `json:"price"`
	Status  string `json:"status"`
}

// snapshot is what an order keeps of a product.
type snapshot struct {
	SKU    string `bson:"sku"`
	Name   string `bson:"name"`
	Price  money  `bson:"price"`
	Status string `bson:"status"`
}

type catalogued struct {
	SKU         string `bson:"sku"`
	Name        string `bson:"name"`
	Price       money  `bson:"price"`
	Status      string `bson:"status"`
	MaxPerOrder *int64 `bson:"max_per_order"`
	InStock     *bool  `bson:"in_stock"`
}

// folds is the number of marks that were ever left in a stock, as of a time.
type folds struct {
	count int64
	asOf  *bson.Timestamp
}

type products struct {
	database                *mongo.Database
	stock, holds, catalogue *mongo.Collection
	writer                  int32
	lock                    sync.Mutex
	known                   map[uuid]folds
}

func newProducts(database *mongo.Database, writer int32) *products {
	return &products{
		database: database, stock: database.Collection("stock"), holds: database.Collection("stock_holds"),
		catalogue: database.Collection("products"), writer: writer, known: map[uuid]folds{},
	}
}

// hold holds the item of a new order, in one conditional write.
func (p *products) hold(ctx context.Context, request holdRequest) (*holdAnswer, error) {
	if len(request.Items) != 1 || request.Revision != 1 {
		return nil, errors.New("not a first hold of one item")
	}
	item := request.Items[0]
	order, err := parseTyped("order", request.Order)
	if err != nil {
		return nil, err
	}
	product, err := parseTyped("product", item.Product)
	if err != nil {
		return nil, err
	}
	p.lock.Lock()
	known := p.known[product]
	p.lock.Unlock()
	held := make(chan error, 1)
	go func() { held <- p.isFree(ctx, order, known) }()
	fields := bson.D{{"sku", 1}, {"name", 1}, {"price", 1}, {"status", 1}, {"max_per_order", 1}, {"in_stock", 1}}
	var found catalogued
	find := p.catalogue.FindOne(ctx, bson.D{{"_id", product.binary()}}, options.FindOne().SetProjection(fields))
	if err := errors.Join(<-held, find.Decode(&found)); err != nil {
		return nil, err
	}
	switch {
	case found.InStock != nil && !*found.InStock:
		return nil, errors.New("sold out")
	case found.Status != "active":
		return nil, errors.New("not active")
	case found.MaxPerOrder != nil && *found.MaxPerOrder < item.Quantity:
		return nil, errors.New("too many")
	}
	kept := snapshot{found.SKU, found.Name, found.Price, found.Status}
	if err := p.write(ctx, order, product, item.Quantity, known, kept); err != nil {
		return nil, err
	}
	answer := heldProduct{item.Product, found.SKU, found.Name, found.Price, found.Status}
	return &holdAnswer{[]heldProduct{answer}}, nil
}

// isFree looks for a hold of the order, as of the time of the known folds or later.
func (p *products) isFree(ctx context.Context, order uuid, known folds) error {
	session, err := p.database.Client().StartSession()
	if err != nil {
		return err
	}
	defer session.EndSession(ctx)
	if known.asOf != nil {
		if err := session.AdvanceOperationTime(known.asOf); err != nil {
			return err
		}
	}
	ctx = mongo.NewSessionContext(ctx, session)
	only := options.FindOne().SetProjection(bson.D{{"_id", 1}})
	err = p.holds.FindOne(ctx, bson.D{{"_id", order.binary()}}, only).Err()
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return nil
	case err == nil:
		return errors.New("the order has a hold")
	default:
		return err
	}
}

// write writes the entry of the order to the journal of the product.
func (p *products) write(ctx context.Context, order, product uuid, quantity int64, known folds, of snapshot) error {
	orders := bson.A{order.binary()}
	available := bson.D{{"$subtract", bson.A{"$on_hand", "$reserved"}}}
	filter := bson.D{
		{"_id", product.binary()},
		{"folds", bson.D{{"$lte", known.count + keptMarks}}},
		{"pending.o", bson.D{{"$nin", orders}}},
		{"folded.o", bson.D{{"$nin", orders}}},
		{"$expr", bson.D{{"$gt", bson.A{available, quantity}}}},
	}
	entry := bson.D{{"o", order.binary()}, {"r", int64(1)}, {"q", quantity}, {"t", "$$NOW"}, {"s", bson.D{{"$literal", of}}}}
	update := bson.A{bson.D{{"$set", bson.D{
		{"reserved", bson.D{{"$add", bson.A{"$reserved", quantity}}}},
		{"pending", bson.D{{"$concatArrays", bson.A{"$pending", bson.A{entry}}}}},
		{"writer", p.writer},
	}}}}
	var after struct {
		Value *struct {
			Folds   int64 `bson:"folds"`
			Pending int   `bson:"pending"`
		} `bson:"value"`
	}
	fields := bson.D{{"folds", 1}, {"pending", bson.D{{"$size", "$pending"}}}}
	if err := p.updateOnce(ctx, product, filter, update, fields, 700*time.Millisecond, &after); err != nil {
		return err
	}
	if after.Value == nil {
		return errors.New("a condition of the hold is not met")
	}
	if after.Value.Pending%foldAt == 0 {
		return p.fold(ctx, product)
	}
	return nil
}

// updateOnce updates a stock without a repetition by the driver, and remembers its folds.
func (p *products) updateOnce(
	ctx context.Context, product uuid, filter bson.D, update bson.A, fields bson.D, limit time.Duration, answer any,
) error {
	session, err := p.database.Client().StartSession()
	if err != nil {
		return err
	}
	defer session.EndSession(ctx)
	// The driver sends the time that is left as maxTimeMS.
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	command := bson.D{
		{"findAndModify", "stock"}, {"query", filter}, {"update", update}, {"new", true}, {"fields", fields},
		{"writeConcern", bson.D{{"w", "majority"}, {"j", true}}},
	}
	raw, err := p.database.RunCommand(mongo.NewSessionContext(ctx, session), command).Raw()
	if err != nil {
		return err
	}
	if count, is := raw.Lookup("value", "folds").AsInt64OK(); is {
		p.remember(product, folds{count, session.OperationTime()})
	}
	return bson.Unmarshal(raw, answer)
}

func (p *products) remember(product uuid, of folds) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if known, is := p.known[product]; !is || known.count < of.count {
		p.known[product] = of
	}
}

// fold moves the entries of a journal into the holds of their orders.
func (p *products) fold(ctx context.Context, product uuid) error {
	var stock struct {
		Pending []bson.M `bson:"pending"`
	}
	only := options.FindOne().SetProjection(bson.D{{"pending", 1}})
	if err := p.stock.FindOne(ctx, bson.D{{"_id", product.binary()}}, only).Decode(&stock); err != nil {
		return err
	}
	var upserts []mongo.WriteModel
	byRevision := map[int64]bson.A{}
	for _, entry := range stock.Pending {
		order, revision := entry["o"], entry["r"].(int64)
		byRevision[revision] = append(byRevision[revision], order)
		item := bson.M{"p": product.binary()}
		for field, value := range entry {
			if field != "o" && field != "r" && field != "t" {
				item[field] = value
			}
		}
		items := bson.D{{"$cond", bson.A{bson.D{{"$isArray", bson.A{"$items"}}}, "$items", bson.A{}}}}
		there := bson.D{{"$filter", bson.D{{"input", items}, {"cond", bson.D{{"$eq", bson.A{"$$this.p", product.binary()}}}}}}}
		merged := bson.D{{"$mergeObjects", bson.A{bson.D{{"$first", there}}, bson.D{{"$literal", item}}}}}
		hold := bson.D{{"r", revision}, {"items", bson.A{merged}}, {"live", entry["q"].(int64) > 0}, {"at", "$$NOW"}}
		stored := bson.D{{"$multiply", bson.A{bson.D{{"$ifNull", bson.A{"$r", int64(-1)}}}, int64(1)}}}
		isNewer := bson.D{{"$lt", bson.A{stored, revision}}}
		replaced := bson.D{{"$mergeObjects", bson.A{"$$ROOT", hold}}}
		update := bson.A{
			bson.D{{"$replaceWith", bson.D{{"$cond", bson.A{isNewer, replaced, "$$ROOT"}}}}},
			bson.D{{"$set", bson.D{{"writer", p.writer}}}},
		}
		upserts = append(upserts, mongo.NewUpdateOneModel().SetFilter(bson.D{{"_id", order}}).SetUpdate(update).SetUpsert(true))
	}
	if len(upserts) == 0 {
		return nil
	}
	if _, err := p.holds.BulkWrite(ctx, upserts, options.BulkWrite().SetOrdered(false)); err != nil {
		return err
	}
	var conditions bson.A
	for revision, orders := range byRevision {
		conditions = append(conditions, bson.D{{"$and", bson.A{
			bson.D{{"$eq", bson.A{"$$this.r", revision}}},
			bson.D{{"$in", bson.A{"$$this.o", bson.D{{"$literal", orders}}}}},
		}}})
	}
	isDone := bson.D{{"$or", conditions}}
	removed := bson.D{{"$filter", bson.D{{"input", "$pending"}, {"cond", isDone}}}}
	mark := bson.D{{"o", "$$this.o"}, {"r", "$$this.r"}}
	marks := bson.D{{"$slice", bson.A{bson.D{{"$concatArrays", bson.A{"$folded", "$removed"}}}, -keptMarks}}}
	update := bson.A{
		bson.D{{"$set", bson.D{{"removed", bson.D{{"$map", bson.D{{"input", removed}, {"in", mark}}}}}}}},
		bson.D{{"$set", bson.D{
			{"pending", bson.D{{"$filter", bson.D{{"input", "$pending"}, {"cond", bson.D{{"$not", bson.A{isDone}}}}}}}},
			{"folded", marks},
			{"folds", bson.D{{"$add", bson.A{"$folds", bson.D{{"$toLong", bson.D{{"$size", "$removed"}}}}}}}},
		}}},
		bson.D{{"$unset", "removed"}},
		bson.D{{"$set", bson.D{{"writer", p.writer}}}},
	}
	var after bson.Raw
	return p.updateOnce(ctx, product, bson.D{{"_id", product.binary()}}, update, bson.D{{"folds", 1}}, time.Second, &after)
}
