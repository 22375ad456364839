// Makes the roles of mongodb-roles.json: the least that each function may do in MongoDB, and the schema step. Run it once
// by somebody who may make roles, in the database that the functions use:
//
//   mongosh "$MONGO_URI" local/mongodb-roles.js
//
// and give each function a user of its own with its role:
//
//   db.createUser({ user: "orders", pwd: passwordPrompt(), roles: ["oms_orders"] })
//
// so that its MONGO_URI is mongodb://orders:…@HOSTS/DATABASE?authSource=DATABASE.
const path = require("path").join(__dirname, "mongodb-roles.json");

for (const { role, collections } of JSON.parse(require("fs").readFileSync(path, "utf8"))) {
  const privileges = Object.entries(collections).map(([collection, actions]) => ({
    // Without a name it is every collection of the database.
    resource: { db: db.getName(), collection },
    actions
  }));
  db.createRole({ role, privileges, roles: [] });
}
