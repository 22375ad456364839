// The least that each function may do in MongoDB: one role for each, and one for the schema step. Run it once by
// somebody who may make roles, in the database that the functions use:
//
//   mongosh "$MONGO_URI" local/mongodb-roles.js
//
// and give each function a user of its own with its role:
//
//   db.createUser({ user: "orders", pwd: passwordPrompt(), roles: ["oms_orders"] })
//
// so that its MONGO_URI is mongodb://orders:…@HOSTS/DATABASE?authSource=DATABASE. The test that runs the functions under
// these roles, tests/lambda/roles.rs, reads them from here: between the brackets is JSON.
const roles = [
  {
    "role": "oms_orders",
    "collections": {
      "orders": ["find", "insert", "update", "remove"],
      "order_rates": ["find", "insert", "update"],
      "leases": ["find", "insert", "update"],
      "reconcile_progress": ["find", "insert", "update", "remove"],
      "reconcile_set_aside": ["find", "insert", "update", "remove"],
      "schema": ["find"]
    }
  },
  {
    "role": "oms_products",
    "collections": {
      "products": ["find", "insert", "update"],
      "stock": ["find", "insert", "update"],
      "stock_holds": ["find", "insert", "update", "remove"],
      "stock_movements": ["find", "insert"],
      "stock_checkpoints": ["find", "insert", "update", "remove"],
      "product_keys": ["find", "insert", "update"],
      "schema": ["find"]
    }
  },
  {
    "role": "oms_users",
    "collections": {
      "users": ["find", "insert", "update"],
      "user_guards": ["insert", "update", "find"],
      "user_keys": ["find", "insert", "update", "remove"],
      "user_sessions": ["find", "insert", "update", "remove"],
      "user_attempts": ["find", "insert", "update", "remove"],
      "user_addresses": ["find", "insert", "update"],
      "user_networks": ["find", "insert", "update", "remove"],
      "schema": ["find"]
    }
  },
  {
    "role": "oms_schema",
    "collections": {
      "": ["createCollection", "collMod", "createIndex", "dropIndex", "listCollections", "find", "insert", "update"]
    }
  }
];

for (const { role, collections } of roles) {
  const privileges = Object.entries(collections).map(([collection, actions]) => ({
    // Without a name it is every collection of the database.
    resource: { db: db.getName(), collection },
    actions
  }));
  db.createRole({ role, privileges, roles: [] });
}
