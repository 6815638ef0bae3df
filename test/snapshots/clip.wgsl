struct Params{
max_norm:f32,rows:u32,}
@group(0) @binding(0) var<storage,read>square_norm:array<f32>;
@group(0) @binding(1) var<storage,read_write>factor:array<f32>;
@group(0) @binding(2) var<storage,read_write>skipped:array<u32>;
@group(0) @binding(3) var<storage,read_write>loss_scale:array<f32>;
@group(0) @binding(4) var<storage,read>schedule:array<vec4f>;
@group(0) @binding(5) var<storage,read>known:array<u32>;
@group(0) @binding(6) var<storage,read_write>hyper:array<vec4f>;
@group(0) @binding(7) var<uniform>params:Params;
const LOSS_SCALE:bool=true;
const CLEAN_STEPS:f32=1000.0;
@compute@workgroup_size(1)fn main(){
hyper[0u]=schedule[min(skipped[0u]-known[0u],params.rows-1u)];
var scale=1.0;
if(LOSS_SCALE){
scale=loss_scale[0u];
}
let square=square_norm[0u];
if((bitcast<u32>(square)&0x7f800000u)==0x7f800000u){
factor[0u]=0.0;
skipped[0u]+=1u;
skipped[1u]+=1u;
if(LOSS_SCALE){
loss_scale[0u]=scale*0.5;
loss_scale[1u]=0.0;
}
return;
}
skipped[1u]=0u;
factor[0u]=select(1.0,min(1.0,params.max_norm/(sqrt(square)/scale+1e-6)),params.max_norm>0.0)/scale;
if(LOSS_SCALE){
let clean=loss_scale[1u]+1.0;
loss_scale[0u]=select(scale,scale*2.0,clean>=CLEAN_STEPS);
loss_scale[1u]=select(clean,0.0,clean>=CLEAN_STEPS);
}
}
